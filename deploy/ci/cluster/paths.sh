# Where everything is, and what it is called. Sourced by the others.

# What outlives a cluster: the executables, built once.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/consensus-lab/kubernetes
# What ends with the cluster. Neither below /var/lib nor /var/log, /run or /tmp: the node sees its own there.
state=${LAB_KUBERNETES_STATE:-/var/tmp/consensus-lab-kubernetes}

bin=$cache/bin
debian=$cache/root/usr/bin
cni_bin=$cache/root/usr/lib/cni

node_name=lab
# The link between this machine and the node; nothing leads further.
host_link=lab-k8s
host_ip=10.77.0.1
node_ip=10.77.0.2
pod_network=10.88.0.0/24
service_network=10.96.0.0/16
api_service_ip=10.96.0.1
cgroup=consensus-lab-kubernetes

say() {
    echo "kubernetes: $*" >&2
}

refuse() {
    say "$*"
    exit 2
}

kubectl() {
    "$debian/kubectl" --kubeconfig "$state/pki/admin.kubeconfig" --cache-dir "$state/kubectl" "$@"
}
