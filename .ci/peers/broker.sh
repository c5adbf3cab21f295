#!/usr/bin/env bash
# Runs a command with a Kafka broker beside it, on free ports of 127.0.0.1, that is gone when the command ends.
#
#   broker.sh COMMAND [ARGUMENT ...]
#
# The command finds the broker by HUDI_TEST_KAFKA (host:port). What HUDI_TEST_KAFKA_RESTART names, it can run: the broker is
# killed and started again on the same port, with what it holds. One node in KRaft mode, its data in a temporary folder; installed
# to ${HUDI_PEERS:-$HOME/.cache/hudi-peers}/kafka by Maven.
set -euo pipefail
VERSION=3.9.2
. "$(dirname "${BASH_SOURCE[0]}")/downloads.sh"
LIBS="$PEERS/kafka/$VERSION"

packages=()
command -v java >/dev/null || packages+=(openjdk-17-jre-headless)
command -v mvn >/dev/null || packages+=(maven)
command -v python3 >/dev/null || packages+=(python3)
debian "${packages[@]}"

work="$(mktemp -d)"
stop() {
    [ ! -s "$work/pid" ] || kill -KILL "$(cat "$work/pid")" 2>/dev/null || true
    rm -rf "$work"
}
trap stop EXIT

libraries "$LIBS" "org.apache.kafka:kafka_2.13:$VERSION" org.slf4j:slf4j-reload4j:1.7.36

read -r port controller < <(ports 2)
cat >"$work/kafka.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$controller
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller
advertised.listeners=PLAINTEXT://127.0.0.1:$port
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$work/data
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=500
auto.create.topics.enable=false
log.retention.ms=-1
PROPERTIES
cat >"$work/log4j.properties" <<PROPERTIES
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=[%d] %p %m (%c)%n
PROPERTIES
# Starts quickly rather than runs fast.
cat >"$work/java" <<SCRIPT
#!/usr/bin/env bash
exec java -Xmx512m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -cp "$LIBS/*" -Dlog4j.configuration="file:$work/log4j.properties" "\$@"
SCRIPT
cat >"$work/start" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
"$work/java" kafka.Kafka "$work/kafka.properties" >>"$work/log" 2>&1 </dev/null &
echo \$! >"$work/pid"
for _ in \$(seq 1 600); do
    if (exec 3<>/dev/tcp/127.0.0.1/$port) 2>/dev/null; then exit 0; fi
    kill -0 "\$(cat "$work/pid")" 2>/dev/null || break
    sleep 0.1
done
echo "the broker did not start:" >&2
cat "$work/log" >&2
exit 1
SCRIPT
cat >"$work/restart" <<SCRIPT
#!/usr/bin/env bash
set -euo pipefail
kill -KILL "\$(cat "$work/pid")"
while kill -0 "\$(cat "$work/pid")" 2>/dev/null; do sleep 0.1; done
exec "$work/start"
SCRIPT
chmod +x "$work/java" "$work/start" "$work/restart"
id="$("$work/java" kafka.tools.StorageTool random-uuid 2>/dev/null | tail -1)"
"$work/java" kafka.tools.StorageTool format -t "$id" -c "$work/kafka.properties" >>"$work/log" 2>&1
"$work/start"
export HUDI_TEST_KAFKA="127.0.0.1:$port" HUDI_TEST_KAFKA_RESTART="$work/restart"
"$@"
