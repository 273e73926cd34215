#!/bin/sh
# Counts in the file given, ten times a second.
i=0
while :; do
	i=$((i + 1))
	# Over what was there, at one length: the file is never another one, nor empty, whenever it is dumped.
	printf '%-20d\n' "$i" 1<>"$1"
	sleep 0.1
done
