#!/bin/bash
# The node: process 1 of namespaces of its own, in which every part of the cluster runs. When this process
# ends, they all do, and their mounts, bridge and packet filter's rules are gone with the namespaces.
set -euo pipefail
. "$(dirname "$0")/paths.sh"
logs=$state/logs
pki=$state/pki

# What the parts write by default below these folders, they write to the state folder.
isolate_files() {
    local folder
    mount -n --make-rprivate /
    for folder in /var/lib /var/log /tmp; do
        mkdir -p "$state$folder"
        mount -n --bind "$state$folder" "$folder"
    done
    mount -n -t tmpfs tmpfs /run
    # The kubelet expects that mounts spread, if only in here.
    mount -n --make-rshared /
}

set_up_network() {
    local setting
    ip link set lo up
    # The other end is made by whoever started this.
    until ip link show uplink >/dev/null 2>&1; do sleep 0.05; done
    ip addr add "$node_ip/30" dev uplink
    ip link set uplink up
    # Whoever sends to a Service and is answered on the same bridge passes the packet filter both ways.
    for setting in net/ipv4/ip_forward net/bridge/bridge-nf-call-iptables; do
        echo 1 >"/proc/sys/$setting"
    done
}

# start NAME COMMAND...
start() {
    local name=$1
    shift
    "$@" >"$logs/$name.log" 2>&1 &
}

start_control_plane() {
    start etcd "$debian/etcd" --data-dir /var/lib/etcd --listen-peer-urls http://127.0.0.1:2380
    start apiserver "$bin/kube-apiserver" --etcd-servers http://127.0.0.1:2379 \
        --advertise-address "$node_ip" --service-cluster-ip-range "$service_network" \
        --client-ca-file "$pki/ca.crt" --tls-cert-file "$pki/apiserver.crt" \
        --tls-private-key-file "$pki/apiserver.key" --authorization-mode Node,RBAC \
        --enable-admission-plugins NodeRestriction --kubelet-preferred-address-types InternalIP \
        --kubelet-client-certificate "$pki/apiserver-to-kubelet.crt" \
        --kubelet-client-key "$pki/apiserver-to-kubelet.key" \
        --service-account-issuer https://kubernetes.default.svc \
        --service-account-key-file "$pki/accounts.key" --service-account-signing-key-file "$pki/accounts.key"
    start controller-manager "$bin/kube-controller-manager" \
        --kubeconfig "$pki/controller-manager.kubeconfig" --use-service-account-credentials \
        --root-ca-file "$pki/ca.crt" --service-account-private-key-file "$pki/accounts.key" \
        --flex-volume-plugin-dir "$state/plugins"
    start scheduler "$bin/kube-scheduler" --kubeconfig "$pki/scheduler.kubeconfig"
}

start_runtime() {
    mkdir -p /var/lib/cni
    cat >"$state/containerd.toml" <<CONFIG
version = 2
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "consensus-lab/pause:latest"
  # Machines may be root's without CAP_SYS_RESOURCE, which it takes to spare a process from the OOM killer.
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$cni_bin"
    conf_dir = "$state/cni"
[plugins."io.containerd.internal.v1.opt"]
  path = "/var/lib/containerd/opt"
CONFIG
    mkdir -p "$state/cni"
    cat >"$state/cni/lab.conflist" <<CONFIG
{
  "cniVersion": "0.4.0",
  "name": "lab",
  "plugins": [{
    "type": "bridge", "bridge": "lab0", "isGateway": true, "hairpinMode": true,
    "ipam": {"type": "host-local", "ranges": [[{"subnet": "$pod_network"}]], "routes": [{"dst": "0.0.0.0/0"}]}
  }]
}
CONFIG
    start containerd containerd --config "$state/containerd.toml"
}

start_kubelet() {
    cat >"$state/kubelet.yaml" <<CONFIG
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
authentication: {anonymous: {enabled: false}, x509: {clientCAFile: $pki/ca.crt}}
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
clusterDNS: [$node_ip]
clusterDomain: cluster.local
resolvConf: ""
failSwapOn: false
volumePluginDir: $state/plugins
# The machine's disk is shared: images that nobody can pull again are not collected.
imageGCHighThresholdPercent: 100
imageGCLowThresholdPercent: 99
evictionHard: {memory.available: 100Mi, nodefs.available: 1%, imagefs.available: 1%}
CONFIG
    start kubelet "$bin/kubelet" --config "$state/kubelet.yaml" --kubeconfig "$pki/kubelet.kubeconfig" \
        --hostname-override "$node_name" --node-ip "$node_ip" \
        --container-runtime remote --container-runtime-endpoint unix:///run/containerd/containerd.sock
    start proxy "$bin/kube-proxy" --kubeconfig "$pki/proxy.kubeconfig" --hostname-override "$node_name" \
        --cluster-cidr "$pod_network" --conntrack-max-per-core 0
}

isolate_files
mkdir -p "$logs"
set_up_network
start_control_plane
start_runtime
start_kubelet
start names "$(dirname "$0")/names.sh"
start volumes "$(dirname "$0")/volumes.sh"
start policies "$(dirname "$0")/policies.sh"
# Process 1 inherits whoever lost its parent, and must wait for them.
while true; do
    wait -n 2>/dev/null || true
    [ -n "$(jobs -r)" ] || sleep 1
done
