#!/bin/bash
# NetworkPolicies: no network plugin of Debian's keeps to any, so the packets that they forbid are dropped on
# the bridge that joins the pods, those of connections that are there already among them. It knows what
# policies say of pods that come in from the same namespace; ports, other namespaces and addresses it takes
# for allowed, and of what goes out it knows nothing.
set -euo pipefail
. "$(dirname "$0")/paths.sh"
. "$(dirname "$0")/watch.sh"

# One at a time: whoever writes last has read last.
forbid() (
    flock 9
    kubectl get networkpolicies,pods --all-namespaces -o json | jq -r '
        def selects($labels):
            ((.matchLabels // {}) | to_entries | all($labels[.key] == .value))
            and ((.matchExpressions // []) | all(
                $labels[.key] as $value
                | if .operator == "In" then .values | any(. == $value)
                  elif .operator == "NotIn" then .values | all(. != $value)
                  elif .operator == "Exists" then $value != null
                  else $value == null end));
        def lets_in($pod):
            (.spec.ingress // []) | any(
                (.from // []) | length == 0 or any(
                    if has("podSelector") and (has("namespaceSelector") | not)
                    then .podSelector | selects($pod.metadata.labels // {})
                    else true end));
        [.items[] | select(.kind == "NetworkPolicy" and (.spec.policyTypes | index("Ingress")))] as $policies
        | [.items[] | select(.kind == "Pod" and .status.podIP != null and (.status.phase | IN("Pending", "Running")))] as $pods
        | "flush set bridge policies forbidden",
          ($pods[] as $to
           | [$policies[]
              | select(.metadata.namespace == $to.metadata.namespace)
              | select(.spec.podSelector | selects($to.metadata.labels // {}))] as $concern
           | select($concern | length > 0)
           | $pods[]
           | select(.metadata.namespace == $to.metadata.namespace and .metadata.uid != $to.metadata.uid)
           | select(. as $from | $concern | all(lets_in($from) | not))
           | "add element bridge policies forbidden { \(.status.podIP) . \($to.status.podIP) }")' \
        | nft -f -
) 9>/run/policies.lock

nft -f - <<RULES
table bridge policies {
    counter dropped { }
    set forbidden { type ipv4_addr . ipv4_addr; }
    chain pods {
        type filter hook forward priority filter; policy accept;
        ip saddr . ip daddr @forbidden counter name dropped drop;
    }
}
RULES
on_change networkpolicies forbid &
on_change pods forbid
