#!/usr/bin/env bash
# Runs a command with what makes changes beside it: PostgreSQL, a schema registry, and Debezium in Kafka Connect, on free ports of
# 127.0.0.1. All of it is gone when the command ends; if it fails the ends of their logs are printed first.
#
#   broker.sh chain.sh COMMAND [ARGUMENT ...]
#
# The command finds the database by PGHOST, PGPORT, PGUSER and PGDATABASE as psql does, and the registry by HUDI_TEST_REGISTRY:
# Apicurio's URL, below which its own API (/apis/registry/v2) and Confluent's (/apis/ccompat/v7) are. Connect does not run yet:
# HUDI_TEST_CONNECT names a script for that.
#
#   start FILE ...   starts it with a connector for each file of properties; `start` alone with those of last time
#   kill             kills it: no word to the broker, no offset kept
#   ready NAME ...   whether these connectors run
#
# It writes to the broker that broker.sh brought (HUDI_TEST_KAFKA). Data is in a temporary folder; programs are in
# ${HUDI_PEERS:-$HOME/.cache/hudi-peers}, by Maven, PostgreSQL Debian's own.
set -euo pipefail
KAFKA=3.9.2
DEBEZIUM=3.6.3.Final
APICURIO=2.6.13.Final
. "$(dirname "${BASH_SOURCE[0]}")/downloads.sh"
CONNECT="$PEERS/connect/$KAFKA" PLUGINS="$PEERS/debezium/$DEBEZIUM" REGISTRY="$PEERS/registry/$APICURIO"
: "${HUDI_TEST_KAFKA:?run it by broker.sh}"

# The newest of Debian's, which are not on the PATH.
postgres_programs() { ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -1; }
packages=()
command -v curl >/dev/null || packages+=(curl)
command -v psql >/dev/null && [ -n "$(postgres_programs)" ] || packages+=(postgresql postgresql-client)
if [ ${#packages[@]} -gt 0 ]; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    # Without a database of its own, which would be started.
    apt-get install -y -qq --no-install-recommends postgresql-common >/dev/null
    sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
    apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
fi
BIN="$(postgres_programs)"

work="$(mktemp -d)"
# The database runs as somebody else where we are root, and root it refuses.
as_postgres=()
if [ "$(id -u)" = 0 ]; then
    as_postgres=(setpriv --reuid=postgres --regid=postgres --init-groups)
    chmod 711 "$work"
    install -d -o postgres "$work/postgres"
fi
# Not in a folder that it may not read.
postgres() { (cd / && "${as_postgres[@]}" "$@"); }
stop() {
    local code=$? name
    if [ $code -ne 0 ]; then
        for name in postgres/log registry.log connect.log; do
            printf '\n==> the end of %s\n' "$name" >&2
            tail -n 40 "$work/$name" >&2 || true
        done
    fi
    for name in connect registry; do
        [ ! -s "$work/$name.pid" ] || kill -KILL "$(cat "$work/$name.pid")" 2>/dev/null || true
        [ $name = connect ] || wait "$(cat "$work/$name.pid")" 2>/dev/null || true
    done
    [ ! -d "$work/postgres/data" ] || postgres "$BIN/pg_ctl" -D "$work/postgres/data" -m immediate stop >/dev/null 2>&1 || true
    rm -rf "$work"
}
trap stop EXIT

libraries "$CONNECT" "org.apache.kafka:connect-runtime:$KAFKA" "org.apache.kafka:connect-json:$KAFKA" "org.slf4j:slf4j-reload4j:1.7.36" \
    "io.apicurio:apicurio-registry-utils-converter:$APICURIO"
archive "$PLUGINS" "io.debezium:debezium-connector-postgres:$DEBEZIUM:tar.gz:plugin"
archive "$REGISTRY" "io.apicurio:apicurio-registry-app:$APICURIO:tar.gz:all"

read -r database registry rest < <(ports 3)
export PGHOST=127.0.0.1 PGPORT="$database" PGUSER=postgres PGDATABASE=postgres HUDI_TEST_REGISTRY="http://127.0.0.1:$registry"
export HUDI_TEST_CONNECT="$work/connect"

# Start quickly rather than run fast.
JAVA=(java -XX:+UseSerialGC -XX:TieredStopAtLevel=1)
"${JAVA[@]}" -Xmx256m -Dquarkus.http.host=127.0.0.1 -Dquarkus.http.port="$registry" -Dquarkus.log.level=WARN \
    -jar "$(ls "$REGISTRY"/apicurio-registry-app-*-runner.jar)" >"$work/registry.log" 2>&1 </dev/null &
echo $! >"$work/registry.pid"

postgres "$BIN/initdb" -D "$work/postgres/data" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync >/dev/null
cat >"$work/settings" <<SETTINGS
listen_addresses = '127.0.0.1'
port = $database
unix_socket_directories = ''
wal_level = logical
fsync = off
timezone = 'UTC'
log_min_messages = error
SETTINGS
cat "$work/settings" >>"$work/postgres/data/postgresql.conf"
postgres "$BIN/pg_ctl" -D "$work/postgres/data" -l "$work/postgres/log" -w start >/dev/null

cat >"$work/log4j.properties" <<PROPERTIES
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
PROPERTIES
cat >"$work/connect.properties" <<PROPERTIES
bootstrap.servers=$HUDI_TEST_KAFKA
key.converter=org.apache.kafka.connect.json.JsonConverter
value.converter=org.apache.kafka.connect.json.JsonConverter
offset.storage.file.filename=$work/connect.offsets
offset.flush.interval.ms=1000
plugin.path=$PLUGINS
plugin.discovery=only_scan
listeners=http://127.0.0.1:$rest
topic.creation.enable=true
PROPERTIES
cat >"$HUDI_TEST_CONNECT" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
case "\$1" in
start)
    shift
    [ \$# -eq 0 ] || printf '%s\n' "\$@" >"$work/connectors"
    mapfile -t connectors <"$work/connectors"
    ${JAVA[*]} -Xmx512m -cp "$CONNECT/*" -Dlog4j.configuration="file:$work/log4j.properties" \\
        org.apache.kafka.connect.cli.ConnectStandalone "$work/connect.properties" "\${connectors[@]}" >>"$work/connect.log" 2>&1 </dev/null &
    echo \$! >"$work/connect.pid"
    ;;
kill)
    kill -KILL "\$(cat "$work/connect.pid")"
    while kill -0 "\$(cat "$work/connect.pid")" 2>/dev/null; do sleep 0.1; done
    ;;
ready)
    kill -0 "\$(cat "$work/connect.pid")"
    for name in "\${@:2}"; do
        curl -fsS -m 5 "http://127.0.0.1:$rest/connectors/\$name/status" 2>/dev/null | grep -q '"tasks":\[{"id":0,"state":"RUNNING"'
    done
    ;;
*)
    echo "want start, kill or ready" >&2
    exit 2
    ;;
esac
SCRIPT
chmod +x "$HUDI_TEST_CONNECT"
for _ in $(seq 1 900); do
    ! curl -fsS -o /dev/null -m 5 "$HUDI_TEST_REGISTRY/apis/ccompat/v7/subjects" 2>/dev/null || break
    kill -0 "$(cat "$work/registry.pid")" 2>/dev/null || { echo "the registry did not start" >&2; exit 1; }
    sleep 0.1
done
"$@"
