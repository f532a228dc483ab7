#!/bin/sh
# Locks the packages of the layers, the API and the functions: writes every version and hash, for all platforms and Pythons, from the
# `.in` files. Needs uv. With --upgrade it takes the newest versions, otherwise the locked ones stay.
set -eu
cd "$(dirname "$0")/.."

compile() {
    output=$1
    shift
    uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate --no-header \
        --no-emit-index-url --no-emit-find-links --output-file "$output" "$@"
}

compile layers/core/requirements.txt "$@" layers/core/requirements.in
compile layers/imaging/requirements.txt "$@" layers/imaging/requirements.in
compile layers/imaging/font.txt "$@" --no-deps layers/imaging/font.in
compile layers/ffmpeg/requirements.txt "$@" --no-deps layers/ffmpeg/requirements.in

# The API uses the packages of the core layer, so its own lock has the same versions and leaves those packages out.
in_core=$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p' layers/core/requirements.txt)
# shellcheck disable=SC2086 # each word is an argument
compile api/requirements.txt "$@" --constraint layers/core/requirements.txt $in_core api/requirements.in

# The only function with packages of its own.
# shellcheck disable=SC2086
compile functions/authorize/requirements.txt "$@" --constraint layers/core/requirements.txt $in_core \
    functions/authorize/requirements.in
