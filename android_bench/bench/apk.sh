#!/usr/bin/env bash
# Makes target/tfpwl-bench.apk of the dex and the libraries that `mvn verify` left in target/device, and checks them all.
# Needs aapt, zipalign, apksigner and dexdump of Debian, and the JDK's keytool.
set -euo pipefail
cd "$(dirname "$0")"

readonly APK=target/tfpwl-bench.apk
readonly WORK=target/apk
readonly KEYSTORE=target/debug.p12
readonly PASSWORD=android # of a key that is made here and signs nothing else
readonly ABIS="arm64-v8a armeabi-v7a x86 x86_64"
readonly LIBRARIES="libtensorflowlite_jni.so libtensorflowlite_gpu_jni.so"

refuse() {
    echo "apk.sh: $1" >&2
    exit 1
}

check_dex() {
    local text errors="$WORK/dexdump.err"
    # Its exit code is 0 after some errors; on a good file it is silent on stderr.
    text="$(dexdump -d -f "$1" 2>"$errors")" && [ ! -s "$errors" ] || refuse "dexdump of $1: $(head -3 "$errors")"
    grep -q "DEX version '037'" <<<"$text" || refuse "$1 is no dex of the version that Android 7 reads"
    for class in tfpwl/bench/Main tfpwl/bench/app/BenchActivity tfpwl/runtime/ProgressiveModel \
        org/tensorflow/lite/Interpreter org/tensorflow/lite/gpu/GpuDelegate; do
        grep -q "Class descriptor  : 'L$class;'" <<<"$text" || refuse "$1 has no class $class"
    done
    # Neither is in Android's API 24 or in the dex.
    for absent in invoke-custom Lcom/sun/jna/ Ltfpwl/host/; do
        ! grep -qF "$absent" <<<"$text" || refuse "$1 has $absent, which no device can run"
    done
}

check_libraries() {
    local abi library
    for abi in $ABIS; do
        for library in $LIBRARIES; do
            [ -s "target/device/$abi/$library" ] || refuse "there is no target/device/$abi/$library; run mvn verify"
        done
    done
}

build() {
    local framework
    framework="$(cat target/framework.path)"
    rm -rf "$WORK" "$APK"
    mkdir -p "$WORK/lib"
    # Debian's aapt2 is older than uses-native-library, so its check of element names can only warn.
    aapt2 link -o "$WORK/bare.apk" --manifest src/main/AndroidManifest.xml --warn-manifest-validation \
        -I "$framework" 2>"$WORK/aapt2.log" || refuse "aapt2: $(cat "$WORK/aapt2.log")"
    unzip -oq target/device/tfpwl-bench.jar classes.dex -d "$WORK"
    for abi in $ABIS; do
        cp -r "target/device/$abi" "$WORK/lib/"
    done
    (cd "$WORK" && aapt add bare.apk classes.dex lib/*/*.so) >"$WORK/aapt.log" || refuse "aapt: $(cat "$WORK/aapt.log")"
    zipalign -f 4 "$WORK/bare.apk" "$WORK/aligned.apk"
    [ -f "$KEYSTORE" ] || keytool -genkeypair -keystore "$KEYSTORE" -storetype PKCS12 -storepass "$PASSWORD" \
        -alias debug -keyalg RSA -keysize 2048 -validity 10000 -dname "CN=tfpwl debug" >"$WORK/keytool.log" 2>&1 \
        || refuse "keytool: $(cat "$WORK/keytool.log")"
    apksigner sign --ks "$KEYSTORE" --ks-pass "pass:$PASSWORD" --min-sdk-version 24 --out "$WORK/signed.apk" \
        "$WORK/aligned.apk"
}

check_apk() {
    local badging files line
    apksigner verify -Werr --min-sdk-version 24 "$1" >"$WORK/verify.log" 2>&1 \
        || refuse "apksigner does not take $1: $(cat "$WORK/verify.log")"
    zipalign -c 4 "$1" >/dev/null || refuse "$1 is not aligned"
    badging="$(aapt2 dump badging "$1")"
    for line in "package: name='tfpwl.bench'" "sdkVersion:'24'" "targetSdkVersion:'34'" \
        "launchable-activity: name='tfpwl.bench.app.BenchActivity'" \
        "native-code: 'arm64-v8a' 'armeabi-v7a' 'x86' 'x86_64'"; do
        grep -qF "$line" <<<"$badging" || refuse "aapt2 dump badging of $1 does not say $line"
    done
    files="$(unzip -Z1 "$1")"
    for line in $LIBRARIES; do
        [ "$(grep -c "^lib/.*/$line$" <<<"$files")" = 4 ] || refuse "$1 has not four $line"
    done
    unzip -oq "$1" classes.dex -d "$WORK"
    check_dex "$WORK/classes.dex"
}

check_libraries
build
check_dex target/device/tfpwl-bench.jar
check_apk "$WORK/signed.apk"
# Its name only now: an APK of that name was checked.
mv "$WORK/signed.apk" "$APK"
