# What the scripts that start a peer share; they source it after setting peer,
# the name a person knows it by, which the command finds in BANYAN_CONFORMANCE_PEER.

[ $# -gt 0 ] || { echo "usage: $0 command [argument...]" >&2; exit 2; }

export BANYAN_CONFORMANCE_PEER=$peer
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
cache=${BANYAN_CACHE:-$root/.cache}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac

# skip says why the peer cannot be had. Nobody's fault, so the exit code is 0.
skip() {
	echo "SKIPPED $peer: $1"
	exit 0
}

need() {
	local tool
	for tool; do command -v "$tool" >/dev/null || skip "$tool is not installed"; done
}

# once FOLDER FUNCTION runs a function in a new folder that gets its name,
# $home, only when the function has done all of its work: an interrupted
# installation is begun anew. A failed one is left for its log to be read.
once() {
	home=$cache/$1
	[ -d "$home" ] && return
	mkdir -p "$cache" || skip "$cache cannot be written"
	exec 9>"$home.lock"
	! command -v flock >/dev/null || flock 9 # of two at once, one installs
	[ -d "$home" ] || install_once "$2"
	exec 9>&-
}

install_once() {
	local stage
	stage=$(mktemp -d "$home.XXXXXX")
	if ! (cd "$stage" && "$1" >install.log 2>&1); then
		rm -rf "$home.failed" && mv "$stage" "$home.failed"
		skip "it could not be fetched: $(complaint "$home.failed/install.log") (all of it in $home.failed/install.log)"
	fi
	mv -T "$stage" "$home" 2>/dev/null || rm -rf "$stage" # another run was quicker
}

# complaint is the line of an installer's log that says the most.
complaint() { { grep -i error "$1" || echo "without a word"; } | head -n 1 | cut -c 1-200; }

# within SECONDS COMMAND... says so where the command takes longer.
within() {
	local code=0
	timeout "$@" || code=$?
	[ "$code" != 124 ] || echo "error: $2 took longer than $1 s"
	return "$code"
}

# maven GROUP:ARTIFACT:VERSION... fetches jars and what they need into ./lib.
maven() {
	local group artifact version dependency dependencies=
	for dependency; do
		IFS=: read -r group artifact version <<<"$dependency"
		dependencies+="<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
	done
	cat >pom.xml <<-POM
		<project xmlns="http://maven.apache.org/POM/4.0.0">
		  <modelVersion>4.0.0</modelVersion>
		  <groupId>banyan</groupId><artifactId>peer</artifactId><version>1</version><packaging>pom</packaging>
		  <dependencies>$dependencies</dependencies>
		</project>
	POM
	within 900 mvn -q -B -Dstyle.color=never dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=lib
}

# pypi REQUIREMENT... fetches packages into ./lib, to be used by PYTHONPATH: a
# virtual environment could not be moved.
pypi() {
	within 900 python3 -m pip install -q --disable-pip-version-check --root-user-action=ignore --target lib "$@"
}

answers() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# serve starts the peer by the caller's function start, which finds a free port
# in $port, this folder in $home, and ends in exec. It returns when somebody
# listens there.
serve() {
	log=$(mktemp)
	trap 'stop; rm -f "$log"' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM
	local attempt
	for attempt in 1 2 3 4 5; do
		port=$((20000 + RANDOM % 12000)) # below what systems give out themselves
		answers "$port" && continue
		(cd "$home" && start) >"$log" 2>&1 &
		server=$!
		listens && return
		stop
	done
	echo "$peer did not start:" >&2
	cat "$log" >&2
	exit 1
}

# listens waits up to a minute for the server, or for its end.
listens() {
	local tick
	for tick in $(seq 300); do
		kill -0 "$server" 2>/dev/null || return 1
		answers "$port" && return
		sleep 0.2
	done
	return 1
}

# stop gives the server 10 seconds to end.
stop() {
	[ -n "${server:-}" ] || return 0
	kill "$server" 2>/dev/null || true
	timeout 10 tail --pid="$server" -f /dev/null || kill -9 "$server" 2>/dev/null || true
	wait "$server" 2>/dev/null || true
	server=
}
