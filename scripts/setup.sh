# Sourced by demo.sh and test.sh: makes .venv and installs what the files named in $1, $2, … list.
# A second call finds everything there and does nothing. PYTHON chooses the interpreter.
setup() {
    if [ ! -x .venv/bin/python ]; then
        base=${PYTHON:-python3}
        if ! "$base" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            echo "error: $base is not Python 3.11 or newer; set PYTHON to one" >&2
            return 2
        fi
        echo "making .venv with $("$base" --version)"
        "$base" -m venv .venv || {
            echo "error: $base cannot make a virtual environment (Debian: install python3-venv)" >&2
            rm -rf .venv
            return 2
        }
    fi
    for list in "$@"; do
        # a copy of the installed list shows whether it has changed
        stamp=.venv/installed-$(echo "$list" | tr '/' '-')
        if ! cmp -s "$list" "$stamp"; then
            echo "installing $list"
            .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$list" || {
                echo "error: pip could not install $list (network, disk space?)" >&2
                return 2
            }
            cp "$list" "$stamp"
        fi
    done
}
