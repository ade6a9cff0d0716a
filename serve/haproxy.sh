#!/bin/sh
# Serve's HA proxy opens its stats and metrics ports to every interface and has no setting for it: bind them to loopback,
# each time Serve writes the configuration anew and starts the proxy with it.
previous=
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then
    sed -i -e '/^frontend prometheus/,/^ *mode/ s/bind \*\{0,1\}:/bind 127.0.0.1:/' \
      -e '/^listen stats/,$ s/bind \*\{0,1\}:/bind 127.0.0.1:/' "$argument"
  fi
  previous=$argument
done
exec "$ELECTORATE_HAPROXY" "$@"
