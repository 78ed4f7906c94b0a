#!/bin/sh
# Runs a process that waits to become an agent, and outlives the server as the wrapper of other instances does
# (instance-wrapper.sh): whatever ends the agent, its status is on disk afterwards.
#
#   waiting-wrapper.sh PROGRAM [ARGUMENT...]
#
# Started as the leader of a session of its own, with a fixed environment, in a folder that is put into the instance's
# folder once there is an instance. Its record is written by the server, which knows who this is.
# Plain POSIX sh, tried with dash and bash.

PATH=/usr/bin:/bin
export PATH

# See instance-wrapper.sh.
trap 'ended=1' HUP INT QUIT TERM USR1 USR2 ALRM PIPE
exec 2>/dev/null
(
  unset PWD OLDPWD SHLVL
  exec "$@" 2>&1
)
status=$?

# `..` is where the folder lies now, whatever it was called at first.
[ -e ../instance.json ] || exit "$status"
printf '%s\n' "$status" > ../exit.new && mv -f ../exit.new ../exit && kill -KILL 0
exit "$status"
