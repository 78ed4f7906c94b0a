#!/bin/sh
# Runs a process that waits to become an agent, and outlives the server as the wrapper of other instances does
# (instance-wrapper.sh): whatever ends the agent, its status is on disk afterwards.
#
#   waiting-wrapper.sh [--join FILE]... [--stage] -- PROGRAM [ARGUMENT...]
#
# --join   a control group's list of processes, which the program is put on before it begins
# --stage  PROGRAM is the launcher of a sandbox that begins without knowing for whom. This shell is then in a mount
#          namespace of its own. `stage`, a folder in memory, becomes the sandbox's root; what is mounted below it later
#          is seen inside as well, since mounts spread from here to there and from neither to the machine.
# fd 4     with --stage: leads to the server. A line has what the file `mounts` (in the form of fstab) lists be mounted;
#          `mounted` or `failed` is the answer. Only before anything of an agent runs: nobody inside could do it.
#
# Started as the leader of a session of its own, with a fixed environment, in a folder that is put into the instance's
# folder once there is an instance. Its record is written by the server, which knows who this is.
# Plain POSIX sh, tried with dash and bash.

PATH=/usr/bin:/bin
export PATH

doors=
stage=
while :; do
  case $1 in
    # No path of the kernel's holds a line end.
    --join)
      doors="$doors$2
"
      shift
      ;;
    --stage) stage=1 ;;
    *) break ;;
  esac
  shift
done
shift

# See instance-wrapper.sh.
trap 'ended=1' HUP INT QUIT TERM USR1 USR2 ALRM PIPE

if [ -n "$stage" ]; then
  {
    mount -n -t tmpfs -o mode=755,nosuid,nodev,size=1m stage stage &&
      mount -n --make-shared stage &&
      mkdir stage/code stage/tmp &&
      # With the stage, not by the launcher: what is mounted later may lie below it.
      mount -n --bind tmp stage/tmp
  } 2>&1 || exit 125
  {
    read -r order <&4 || exit 0
    if mount -n -a -T mounts 2>&1; then echo mounted >&4; else echo failed >&4; fi
  } 3<&- > mounts.said &
  exec 4<&-
fi

exec 2>/dev/null
(
  # "$$" is the parent's number in a subshell.
  read -r agent rest < /proc/self/stat || agent=$(exec sh -c 'echo "$PPID"')
  echo "$agent" > agent.pid
  while read -r door; do
    [ -z "$door" ] || echo "$agent" > "$door" || { echo "its limits could not be set" && exit 125; }
  done <<DOORS
$doors
DOORS
  unset PWD OLDPWD SHLVL
  exec "$@" 2>&1
)
status=$?

# `..` is where the folder lies now, whatever it was called at first.
[ -e ../instance.json ] || exit "$status"
printf '%s\n' "$status" > ../exit.new && mv -f ../exit.new ../exit && kill -KILL 0
exit "$status"
