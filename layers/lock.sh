#!/bin/sh
# Writes the lock files from their `.in` files: every version and hash, for all platforms and Pythons at once.
# Needs uv. With --upgrade the newest versions are taken, otherwise what is locked stays.
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

# The API finds the core layer's packages beside it: same versions, left out of its own lock.
in_core=$(sed -nE 's/^([A-Za-z0-9._-]+)==.*/--no-emit-package \1/p' layers/core/requirements.txt)
# shellcheck disable=SC2086 # one word per argument is meant
compile api/requirements.txt "$@" --constraint layers/core/requirements.txt $in_core api/requirements.in
