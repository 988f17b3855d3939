#!/bin/bash -eu
# Builds the fuzz targets into $OUT, each with its corpus and its dictionary. ClusterFuzzLite and OSS-Fuzz run this in the image of
# the Dockerfile beside it, with the checkout in $SRC/serf and the sanitizer in $SANITIZER.
cd "$SRC/serf"
case ${SANITIZER:-address} in
    # cargo-fuzz has no sanitizer for coverage: RUSTFLAGS of the image instrument the code.
    coverage | none) sanitizer=none ;;
    *) sanitizer=${SANITIZER:-address} ;;
esac
cargo +nightly fuzz build --sanitizer "$sanitizer"
for target in $(cargo +nightly fuzz list); do
    cp fuzz/target/*/release/"$target" "$OUT/"
    zip -jqr "$OUT/${target}_seed_corpus.zip" "fuzz/corpus/$target"
    if [ -f "fuzz/dictionaries/$target.dict" ]; then
        cp -L "fuzz/dictionaries/$target.dict" "$OUT/"
    fi
done
