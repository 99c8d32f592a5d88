# Shared by the experiment scripts, which go to the repository's root and source it.
# PYTHON: the interpreter to use; by default the active environment's, else .venv's.
if [ -z "${PYTHON:-}" ]; then
    if [ -z "${VIRTUAL_ENV:-}${CONDA_PREFIX:-}" ] && [ -x .venv/bin/python ]; then
        PYTHON=.venv/bin/python
    elif command -v python >/dev/null 2>&1; then
        PYTHON=python
    else
        PYTHON=python3
    fi
fi

# The settings that all published experiments share; later options replace earlier ones.
calf() {
    "$PYTHON" -u run.py --is_training 1 --model CALF --label_len 0 --gpt_layers 6 \
        --r 8 --lora_alpha 32 --lora_dropout 0.1 --cos 1 --itr 1 "$@"
}

# CALF on an ETT set with the published long-term settings: calf_ett SET HORIZON MODEL_ID [options].
calf_ett() {
    rate=0.0005 patience=5 freq=h
    case $1 in
        ETTh1) patience=10 ;;
        ETTh2) ;;
        ETTm1) freq=t ;;
        ETTm2) freq=t rate=0.0001 ;;
        *) unknown "$1" ;;
    esac
    set_name=$1 horizon=$2 model_id=$3
    shift 3
    calf --task_name long_term_forecast --data "$set_name" \
        --root_path ./datasets/ETT-small/ --data_path "$set_name.csv" --freq "$freq" \
        --model_id "$model_id" --seq_len 96 --pred_len "$horizon" \
        --batch_size 256 --learning_rate "$rate" --train_epochs 100 --tmax 20 \
        --patience "$patience" "$@"
}

# CALF on ETT sets for each value of an option: ablation NAME OPTION "VALUES" [more options].
ablation() {
    ablated=$1 option=$2 values=$3
    shift 3
    for name in ${DATASETS:-ETTh1}; do
        for value in $values; do
            for pred_len in ${HORIZONS:-96 192 336 720}; do
                calf_ett "$name" "$pred_len" "${name}_ablation_${ablated}_${value}_96_$pred_len" \
                    "$option" "$value" "$@"
            done
        done
    done
}

# A model's own options for data set $name and horizon $pred_len: the scripts of baselines define it.
settings() { :; }

# Trains $model with the settings that all scripts of Time-Series-Library share: its schedule type1
# halves the rate after each epoch but the first.
library() {
    "$PYTHON" -u run.py --is_training 1 --model "$model" \
        --train_epochs 10 --patience 3 --cos 0 --lradj type2 --decay_fac 0.5 --itr 1 "$@"
}

# A baseline at look-back 96 on the data sets of the main table: baseline MODEL [more options].
# DATASETS may name exchange_rate and illness, too, the latter at look-back 36.
baseline() {
    model=$1
    shift
    for name in ${DATASETS:-ETTh1 ETTh2 ETTm1 ETTm2 weather electricity traffic}; do
        file=$name freq=h seq_len=96 label_len=48 horizons="96 192 336 720"
        case $name in
            ETTh1 | ETTh2) data=$name folder=ETT-small ;;
            ETTm1 | ETTm2) data=$name folder=ETT-small freq=t ;;
            weather) data=custom folder=weather freq=10min ;;
            electricity | traffic) data=custom folder=$name ;;
            exchange_rate) data=custom folder=$name freq=d ;;
            illness)
                data=custom folder=$name file=national_illness freq=w
                seq_len=36 label_len=18 horizons="24 36 48 60"
                ;;
            *) unknown "$name" ;;
        esac
        for pred_len in ${HORIZONS:-$horizons}; do
            # shellcheck disable=SC2046 # settings prints words
            library --task_name long_term_forecast \
                --data "$data" --root_path "./datasets/$folder/" --data_path "$file.csv" \
                --freq "$freq" --model_id "${name}_${seq_len}_$pred_len" \
                --seq_len "$seq_len" --label_len "$label_len" --pred_len "$pred_len" \
                --batch_size 32 --learning_rate 0.0001 $(settings) "$@"
        done
    done
}

unknown() {
    echo "DATASETS: this script has no settings for $1" >&2
    exit 2
}
