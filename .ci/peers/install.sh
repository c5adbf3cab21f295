#!/usr/bin/env bash
# Installs what reads our tables beside us: Spark with Hudi's Java bundle, and the `hudi` wheel (hudi-rs).
#
#   install.sh [HUDI-VERSION|s3 ...]     of Hudi's Java: 0.14.0 0.15.0 1.0.2 1.1.1 1.2.0 (default 0.15.0); s3: what it needs
#                                        for tables at s3a://
#
# Everything goes to ${HUDI_PEERS:-$HOME/.cache/hudi-peers}: spark-3.5/ and spark-3.4/ (virtual environments), hudi-rs/
# (another one), jars/. Only what is missing is fetched, so a second run takes a second or two. Java 11 or 17, Maven and
# Python's venv come from the system; where they are absent, apt-get brings them, which needs root.
set -euo pipefail

. "$(dirname "${BASH_SOURCE[0]}")/downloads.sh"
HUDI_RS=0.5.0

packages=()
# A runtime alone is enough for Spark, but Maven's package brings one anyway: take the one named here first.
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v python3 >/dev/null || packages+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
debian "${packages[@]}"

mkdir -p "$PEERS/jars"
# Two at a time would tread on each other.
exec 9>"$PEERS/.lock"
flock 9

# venv NAME MODULE REQUIREMENT...: a virtual environment in which MODULE can be imported.
venv() {
    local python="$PEERS/$1/bin/python" module="$2"
    "$python" -c "import $module" 2>/dev/null && return
    python3 -m venv --clear "$PEERS/$1"
    "$python" -m pip install --quiet --disable-pip-version-check "${@:3}"
}

# jar GROUP ARTIFACT VERSION: by Maven. A broken download leaves no file of the final name behind.
jar() {
    [ -s "$PEERS/jars/$2-$3.jar" ] && return
    local partial="$PEERS/jars/.partial"
    rm -rf "$partial"
    mvn -q -B "$MAVEN_PLUGIN:get" -Dartifact="$1:$2:$3" -Dtransitive=false
    mvn -q -B "$MAVEN_PLUGIN:copy" -Dartifact="$1:$2:$3" -DoutputDirectory="$partial" -Dmdep.useBaseVersion=true
    mv "$partial/$2-$3.jar" "$PEERS/jars/"
    rmdir "$partial"
}

venv hudi-rs hudi "hudi==$HUDI_RS" pyarrow
[ $# -gt 0 ] || set -- 0.15.0
for version in "$@"; do
    case "$version" in
    s3)
        # Those that Spark 3.5's Hadoop goes with.
        jar org.apache.hadoop hadoop-aws 3.3.4
        jar com.amazonaws aws-java-sdk-bundle 1.12.262
        ;;
    0.14.0)
        venv spark-3.4 pyspark pyspark==3.4.4
        jar org.apache.hudi hudi-spark3.4-bundle_2.12 "$version"
        ;;
    *)
        venv spark-3.5 pyspark pyspark==3.5.9
        jar org.apache.hudi hudi-spark3.5-bundle_2.12 "$version"
        ;;
    esac
done
