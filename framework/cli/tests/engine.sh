#!/bin/sh
# Stands in for sbp-engine: tells how it was started, and ends with a code that sbp itself never gives.
echo "process $$, spins ${GOMP_SPINCOUNT-unset}, arguments $*"
exit 42
