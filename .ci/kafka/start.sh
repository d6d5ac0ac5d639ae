#!/usr/bin/env bash
# Apache Kafka for the broker tests: one node in KRaft mode, from Maven Central, without Docker.
#
#   .ci/kafka/start.sh PORT DIR [PROPERTIES]
#
# Listens on 127.0.0.1:PORT (and PORT + 1 for its controller), keeps jars, data and log in DIR, returns once
# it serves, and leaves its process id in DIR/kafka.pid: `kill "$(cat DIR/kafka.pid)"` ends it.
# Needs Java 17 or later and Maven. Started again on the same DIR it has the same topics. PROPERTIES is a file
# whose lines are added to the server's own.
set -euo pipefail

if [ $# -lt 2 ] || [ $# -gt 3 ]; then
  sed -n '2,10s/^# \{0,1\}//p' "$0"
  exit 2
fi
port=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -d "$dir/jars" ]; then
  mvn -B -q -Dstyle.color=never -f "$here/pom.xml" dependency:copy-dependencies \
    -DincludeScope=runtime -DoutputDirectory="$dir/jars.part"
  mv "$dir/jars.part" "$dir/jars"
fi

cat > "$dir/server.properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
advertised.listeners=PLAINTEXT://127.0.0.1:$port,CONTROLLER://127.0.0.1:$((port + 1))
controller.listener.names=CONTROLLER
controller.quorum.bootstrap.servers=127.0.0.1:$((port + 1))
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs=$dir/data
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
PROPERTIES
if [ $# -eq 3 ]; then cat "$3" >> "$dir/server.properties"; fi

cat > "$dir/log4j2.xml" <<'LOG4J'
<Configuration status="ERROR">
  <Appenders>
    <Console name="out"><PatternLayout pattern="%d %p %m (%c)%n"/></Console>
  </Appenders>
  <Loggers><Root level="INFO"><AppenderRef ref="out"/></Root></Loggers>
</Configuration>
LOG4J

java_options=(-Xmx512m -Xms256m "-Dlog4j2.configurationFile=$dir/log4j2.xml" -cp "$dir/jars/*")

if [ ! -f "$dir/data/meta.properties" ]; then
  id=$(java "${java_options[@]}" kafka.tools.StorageTool random-uuid | tail -n 1)
  java "${java_options[@]}" kafka.tools.StorageTool format \
    --standalone -t "$id" -c "$dir/server.properties" > "$dir/format.log" 2>&1 || {
    cat "$dir/format.log" >&2
    exit 1
  }
fi

nohup java "${java_options[@]}" kafka.Kafka "$dir/server.properties" > "$dir/kafka.log" 2>&1 < /dev/null &
pid=$!
echo "$pid" > "$dir/kafka.pid"

for _ in $(seq 360); do
  if grep -q 'Kafka Server started' "$dir/kafka.log"; then
    echo "Apache Kafka serves 127.0.0.1:$port (process $pid)"
    exit 0
  fi
  kill -0 "$pid" 2> /dev/null || break
  sleep 0.5
done
echo "Apache Kafka did not start:" >&2
tail -n 30 "$dir/kafka.log" >&2
kill "$pid" 2> /dev/null || true
exit 1
