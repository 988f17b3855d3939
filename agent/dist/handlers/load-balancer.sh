#!/bin/sh
# Keeps the list of backends of a load balancer: members with the role "web" that are there.
#
#   serf agent -event-handler='member-join,member-leave,member-failed,member-update=./load-balancer.sh'
#
# BACKENDS names the file (default /var/lib/serf/backends), RELOAD the command that makes the load
# balancer read it (default none). The file has a line "name address" for each backend.
#
# Serf runs the events of one handler one after another, so nobody else writes the file meanwhile.

set -eu

backends=${BACKENDS:-/var/lib/serf/backends}
port=${BACKEND_PORT:-80}
new=$backends.new
tab=$(printf '\t')

touch "$backends"
cp "$backends" "$new"

# A line for each member: name, address, role and tags, with tabs between.
while IFS=$tab read -r name address role _tags; do
    # A member that comes back may have another address, or another role.
    awk -v name="$name" '$1 != name' "$new" >"$new.rest"
    mv "$new.rest" "$new"
    case $SERF_EVENT in
        member-join | member-update)
            if [ "$role" = web ]; then
                printf '%s %s:%s\n' "$name" "$address" "$port" >>"$new"
            fi
            ;;
    esac
done

if cmp -s "$new" "$backends"; then
    rm "$new"
    exit 0
fi
# In one step, so that nobody reads half of it.
mv "$new" "$backends"
${RELOAD:-true}
