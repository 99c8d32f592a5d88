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
    "$PYTHON" -u run.py --is_training 1 --model CALF --label_len 0 --d_model 768 --gpt_layers 6 \
        --r 8 --lora_alpha 32 --lora_dropout 0.1 --cos 1 --itr 1 "$@"
}
