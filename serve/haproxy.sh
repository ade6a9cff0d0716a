#!/bin/sh
# Serve's HA proxy has no setting for what follows, so its configuration is changed each time Serve
# writes it anew and starts the proxy with it:
# - its stats and metrics ports, which are open to every interface, are taken out;
# - its admin socket, by which any local user could redirect traffic, is this user's alone;
# - a request's headers and body have to come within ELECTORATE_SLOW_S seconds, and a replica sees
#   it only when it is whole, so that slow clients hold up nobody;
# - an address may hold ELECTORATE_CONNECTIONS connections.
slow=${ELECTORATE_SLOW_S:-10}
connections=${ELECTORATE_CONNECTIONS:-256}
previous=
for argument in "$@"; do
  if [ "$previous" = "-f" ]; then
    sed -i \
      -e '/^frontend prometheus/,/^frontend http_frontend/{/^frontend http_frontend/!d}' \
      -e '/^listen stats/,$d' \
      -e 's/ mode 666 level admin/ mode 600 level admin/' \
      "$argument"
    sed -i -e "/^frontend http_frontend/,/^    bind /{/^    bind /a\\
    timeout http-request ${slow}s\\
    stick-table type ipv6 size 100k expire 60s store conn_cur\\
    tcp-request connection track-sc0 src\\
    tcp-request connection reject if { sc0_conn_cur gt ${connections} }\\
    http-request wait-for-body time ${slow}s if { req.hdr(content-length) -m found } || { req.hdr(transfer-encoding) -m found }
}" "$argument"
  fi
  previous=$argument
done
exec "$ELECTORATE_HAPROXY" "$@"
