#!/bin/bash
# Names inside the cluster: CoreDNS is no package of Debian's, so dnsmasq answers, from a file that is
# written anew whenever the endpoints of any Service change. It knows Services, headless ones and the pods
# that these name; it knows no SRV records, and nothing outside the cluster.
set -euo pipefail
. "$(dirname "$0")/paths.sh"
. "$(dirname "$0")/watch.sh"
hosts=/run/names

write_names() {
    kubectl get services,endpoints --all-namespaces -o json | jq -r '
        def name: "\(.metadata.name).\(.metadata.namespace).svc.cluster.local";
        [.items[] | select(.kind == "Service" and .spec.clusterIP == "None") | name] as $headless
        | .items[]
        | name as $name
        | if .kind == "Service" then
            select(.spec.clusterIP != "None" and .spec.clusterIP != null) | "\(.spec.clusterIP) \($name)"
          else
            select($name | IN($headless[]))
            | .subsets[]?.addresses[]?
            | "\(.ip) \($name)", (select(.hostname) | "\(.ip) \(.hostname).\($name)")
          end' >"$hosts.new" \
        && mv "$hosts.new" "$hosts" \
        && kill -HUP "$server"
}

touch "$hosts"
dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --addn-hosts="$hosts" \
    --local=/cluster.local/ --listen-address="$node_ip" --bind-interfaces --user=root --pid-file= \
    --log-facility=- --local-ttl=1 &
server=$!
on_change endpoints write_names
