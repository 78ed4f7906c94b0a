#!/bin/sh
# Runs one agent and outlives the server: whatever ends the agent, its status is on disk afterwards.
#
#   instance-wrapper.sh FOLDER RECORD [--join FILE]... [--nice NUMBER] [--processors LIST] --|--inside PROGRAM [ARGUMENT...]
#
# FOLDER   the instance's folder: identity.json, agent.pid and exit are written there
# RECORD   the identity record as JSON, without what only this shell knows and without the closing brace
# --join   a control group's list of processes, which the agent is put on before it begins
# --nice, --processors   the agent's niceness and the processors it may use, such as 0,1
# --       PROGRAM is the agent, and its environment is read here
# --inside PROGRAM is the launcher of a sandbox; it is started with this shell's environment, and a shell inside reads
#          the agent's
# stdin    /dev/null
# stdout   the instance's log, opened for append
# fd 3     the agent's environment as a shell script; its file has no name any more
#
# Started as the leader of a session of its own, with a fixed environment: the user's variables are first seen in the
# subshell that becomes the agent, so that no LD_PRELOAD, ENV or PATH of theirs acts on this shell or what it calls.
# Plain POSIX sh, tried with dash and bash.

PATH=/usr/bin:/bin
export PATH

folder=$1
record=$2
shift 2
doors=
niceness=
processors=
while :; do
  case $1 in
    # No path of the kernel's holds a line end.
    --join) doors="$doors$2
" ;;
    --nice) niceness=$2 ;;
    --processors) processors=$2 ;;
    *) break ;;
  esac
  shift 2
done
mode=$1
shift

# A handler, not "ignore": a handled signal is back at its default in the agent, an ignored one would stay ignored.
# A shell that waits for a foreground command handles the signal only once that has ended, which is what is wanted.
ended=
trap 'ended=1' HUP INT QUIT TERM USR1 USR2 ALRM PIPE

# A pid is used again some day; together with the time the kernel started it, it names one process for ever.
# Sets `ticks`: a result to be printed would cost a process.
start_ticks() {
  if read -r line 2>/dev/null < "/proc/$$/stat"; then
    # The second field is the program's name in brackets and may hold anything. State, the third, is $1 from here.
    set -f
    # shellcheck disable=SC2086
    set -- ${line##*) }
    set +f
    ticks=${20}
  else
    # macOS. Unverified.
    set -f
    # shellcheck disable=SC2046
    set -- $(LC_ALL=C ps -o lstart= -p $$)
    set +f
    ticks=$*
  fi
}

read -r boot 2>/dev/null < /proc/sys/kernel/random/boot_id || boot=$(sysctl -n kern.bootsessionuuid)
start_ticks

# The record comes before the agent: a server that dies now finds out what it had started. Written in place, since to
# rename it would cost a process while somebody waits for the agent: what is not whole yet is no record to any reader,
# and its instance one that has not begun.
printf '%s,"bootId":"%s","pid":%s,"startTicks":"%s"}\n' "$record" "$boot" $$ "$ticks" \
  > "$folder/identity.json" || exit 125
[ -z "$ended" ] || exit 143

# From here on standard error is the agent's alone; this shell would add a "Killed" of its own.
exec 2>/dev/null

# In the foreground: a shell without job control makes background commands ignore SIGINT and SIGQUIT.
(
  # "$$" is the parent's number in a subshell.
  read -r agent rest < /proc/self/stat || agent=$(exec sh -c 'echo "$PPID"')
  echo "$agent" > "$folder/agent.pid"
  # Limits hold from the agent's first instruction on, and for all that it starts; this shell's parent is outside.
  while read -r door; do
    [ -z "$door" ] || echo "$agent" > "$door" || { echo "the agent's limits could not be set" && exit 125; }
  done <<DOORS
$doors
DOORS
  # Less than a limit, and no reason not to start.
  [ -z "$niceness" ] || renice -n "$niceness" -p "$agent" > /dev/null
  [ -z "$processors" ] || taskset -cp "$processors" "$agent" > /dev/null
  unset PWD OLDPWD SHLVL
  # The sandbox's launcher sees none of the user's variables: they would act on it, outside.
  [ "$mode" = -- ] || exec "$@" 2>&1
  # Nothing but "$@" and builtins after this line: the variables, PATH among them, are the user's now.
  . /dev/fd/3
  # Emptied, since this shell's parent keeps the descriptor for as long as the agent runs.
  : > /dev/fd/3
  exec "$@" 2>&1 3<&-
)
status=$?

# What the agent leaves behind goes with it, this shell included: whoever still is in this group, even without our marks
# in its environment. Only here is the group's number certain, server or no server. Without a record on disk, the exit
# code is the last way to tell.
printf '%s\n' "$status" > "$folder/exit.new" && mv -f "$folder/exit.new" "$folder/exit" && kill -KILL 0
exit "$status"
