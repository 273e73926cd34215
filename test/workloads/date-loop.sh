#!/bin/sh
# Prints the date every second, for ever.
while :; do
  date
  sleep 1
done
