#!/bin/sh
# Counts in the file given, ten times a second.
i=0
while :; do
	i=$((i + 1))
	echo "$i" >"$1.draft" && mv "$1.draft" "$1"
	sleep 0.1
done
