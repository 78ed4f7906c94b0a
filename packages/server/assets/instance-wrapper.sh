#!/bin/sh
# Runs one agent and outlives the server: whatever ends the agent, its status is on disk afterwards.
#
#   instance-wrapper.sh FOLDER RECORD -- PROGRAM [ARGUMENT...]
#
# FOLDER   the instance's folder: identity.json, agent.pid and exit appear there, each complete or not at all
# RECORD   the identity record as JSON, without what only this shell knows and without the closing brace
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
shift 3

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

# The record comes before the agent: a server that dies now finds out what it had started.
{
  printf '%s,"bootId":"%s","pid":%s,"startTicks":"%s"}\n' "$record" "$boot" $$ "$ticks" \
    > "$folder/identity.new" && mv -f "$folder/identity.new" "$folder/identity.json"
} || exit 125
[ -z "$ended" ] || exit 143

# From here on standard error is the agent's alone; this shell would add a "Killed" of its own.
exec 2>/dev/null

# In the foreground: a shell without job control makes background commands ignore SIGINT and SIGQUIT.
(
  # "$$" is the parent's number in a subshell.
  read -r agent rest < /proc/self/stat || agent=$(exec sh -c 'echo "$PPID"')
  echo "$agent" > "$folder/agent.pid"
  unset PWD OLDPWD SHLVL
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
