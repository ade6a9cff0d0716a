#!/bin/sh
# Serve's HA proxy opens a stats and a metrics port to every interface and has no setting for it: take both out of its
# configuration, each time Serve writes that anew and starts the proxy with it.
previous=
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then
    sed -i -e '/^frontend prometheus/,/^frontend http_frontend/{/^frontend http_frontend/!d}' -e '/^listen stats/,$d' "$argument"
  fi
  previous=$argument
done
exec "$ELECTORATE_HAPROXY" "$@"
