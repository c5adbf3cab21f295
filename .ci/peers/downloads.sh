# Sourced: what our peers are made of, by Maven and by Debian, into folders that are there whole or not at all.
MAVEN_PLUGIN=org.apache.maven.plugins:maven-dependency-plugin:3.6.1
PEERS="${HUDI_PEERS:-$HOME/.cache/hudi-peers}"

# debian PACKAGE ...: those, by apt-get, which needs root.
debian() {
    [ $# -gt 0 ] || return 0
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

# beside FOLDER: an empty folder beside it, to be moved there.
beside() {
    mkdir -p "$(dirname "$1")"
    mktemp -d "$(dirname "$1")/.partial.XXXXXX"
}

# settle PARTIAL FOLDER: moves what is whole; somebody else may have been quicker.
settle() {
    mv -T "$1" "$2" 2>/dev/null || [ -d "$2" ]
}

# libraries FOLDER COORDINATES...: with all that they need; what is named first wins.
libraries() {
    local folder="$1" of group artifact version partial
    [ -d "$folder" ] && return
    partial="$(beside "$folder")"
    {
        echo '<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version><dependencies>'
        for of in "${@:2}"; do
            IFS=: read -r group artifact version <<<"$of"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$partial/pom.xml"
    mvn -q -B -f "$partial/pom.xml" "$MAVEN_PLUGIN:copy-dependencies" -DincludeScope=runtime -DoutputDirectory="$partial/libs"
    settle "$partial/libs" "$folder"
    rm -rf "$partial"
}

# archive FOLDER COORDINATES: what is in it. Of the archive itself nothing is kept, not even by Maven.
archive() {
    local folder="$1" partial
    [ -d "$folder" ] && return
    partial="$(beside "$folder")"
    mkdir "$partial/all"
    mvn -q -B -Dmaven.repo.local="$partial/maven" "$MAVEN_PLUGIN:copy" -Dartifact="$2" -DoutputDirectory="$partial/download"
    case "$2" in
    *:zip) python3 -m zipfile -e "$partial"/download/*.zip "$partial/all" ;;
    *) tar xzf "$partial"/download/*.tar.gz -C "$partial/all" ;;
    esac
    settle "$partial/all" "$folder"
    rm -rf "$partial"
}

# ports N: so many free ones.
ports() {
    python3 -c '
import socket, sys
sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in sockets))' "$1"
}
