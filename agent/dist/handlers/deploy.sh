#!/bin/sh
# Deploys the version that the user event "deploy" brings.
#
#   serf agent -event-handler='user:deploy=./deploy.sh'
#   serf event deploy v1.2.3
#
# The payload comes on the input, and anybody who can send events chooses it: it is checked, and never run.
# DEPLOY is the command that is given the version (default: only a line on the output, which the agent logs).

set -eu

IFS= read -r version || true
case $version in
    '' | [-.]* | *[!A-Za-z0-9._-]*)
        echo "not a version: refused" >&2
        exit 1
        ;;
esac

echo "deploying $version (event $SERF_USER_EVENT at $SERF_USER_LTIME) on $SERF_SELF_NAME"
if [ -n "${DEPLOY:-}" ]; then
    $DEPLOY "$version"
fi
