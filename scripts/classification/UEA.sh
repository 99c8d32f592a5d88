#!/bin/sh
# CALF, classification on ten UEA sets, each in datasets/uea/NAME with its two .ts files.
# From the root: sh scripts/classification/UEA.sh [more options of run.py]
# DATASETS="JapaneseVowels" runs some of the sets only.
set -e
cd "$(dirname "$0")/../.."
. scripts/common.sh

ALL="EthanolConcentration FaceDetection Handwriting Heartbeat JapaneseVowels PEMS-SF \
SelfRegulationSCP1 SelfRegulationSCP2 SpokenArabicDigits UWaveGestureLibrary"
for name in ${DATASETS:-$ALL}; do
    calf --task_name classification --data UEA --root_path "./datasets/uea/$name/" \
        --model_id "$name" --batch_size 16 --learning_rate 0.001 --train_epochs 50 \
        --tmax 20 --patience 10 --task_loss ce "$@"
done
