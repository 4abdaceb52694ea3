# What the node does itself whenever the cluster changes. Sourced by those who do it.

# on_change KIND COMMAND: runs the command whenever something of that kind changes, for as long as the node is.
on_change() {
    until kubectl get --raw /readyz >/dev/null 2>&1; do sleep 0.5; done
    # The watch begins with what is there. The server ends it from time to time.
    while true; do
        kubectl get "$1" --all-namespaces --watch -o name | while read -r _; do
            # Of many changes at once, the last is enough.
            while read -r -t 0.05 _; do :; done
            "$2" || say "$2: failed, and is tried again at the next change"
        done || true
        sleep 0.2
    done
}
