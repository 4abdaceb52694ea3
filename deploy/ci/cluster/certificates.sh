# The cluster's own authority, and a certificate and kubeconfig for each who asks the API server.

# Keys of this kind are drawn at once, on a busy machine too.
key_kind="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1"

# sign NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
sign() {
    # shellcheck disable=SC2086
    openssl req -new $key_kind -nodes -keyout "$pki/$1.key" -subj "$2" -out "$pki/$1.csr" 2>/dev/null
    openssl x509 -req -in "$pki/$1.csr" -CA "$pki/ca.crt" -CAkey "$pki/ca.key" -CAcreateserial -days 30 \
        -extfile <(echo "extendedKeyUsage=clientAuth,serverAuth"; [ -z "${3:-}" ] || echo "subjectAltName=$3") \
        -out "$pki/$1.crt" 2>/dev/null
    rm "$pki/$1.csr"
}

# kubeconfig NAME: for whoever has the certificate of that name.
kubeconfig() {
    cat >"$pki/$1.kubeconfig" <<CONFIG
apiVersion: v1
kind: Config
current-context: $node_name
clusters:
  - name: $node_name
    cluster:
      server: https://$node_ip:6443
      certificate-authority-data: $(base64 -w0 "$pki/ca.crt")
users:
  - name: $1
    user:
      client-certificate-data: $(base64 -w0 "$pki/$1.crt")
      client-key-data: $(base64 -w0 "$pki/$1.key")
contexts:
  - name: $node_name
    context:
      cluster: $node_name
      user: $1
CONFIG
}

make_certificates() {
    local pki=$state/pki name
    mkdir -m 700 "$pki"
    # shellcheck disable=SC2086
    openssl req -x509 $key_kind -nodes -keyout "$pki/ca.key" -subj /CN=lab-ca -days 30 \
        -out "$pki/ca.crt" 2>/dev/null
    sign apiserver /CN=kube-apiserver \
        "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:$node_ip,IP:$api_service_ip"
    sign apiserver-to-kubelet /O=system:masters/CN=apiserver-to-kubelet
    sign admin /O=system:masters/CN=admin
    # These names are what the API server's own roles are bound to.
    sign controller-manager /CN=system:kube-controller-manager
    sign scheduler /CN=system:kube-scheduler
    sign proxy /CN=system:kube-proxy
    sign kubelet "/O=system:nodes/CN=system:node:$node_name"
    for name in admin controller-manager scheduler proxy kubelet; do
        kubeconfig "$name"
    done
    # Service accounts' tokens are signed with this one.
    openssl ecparam -name prime256v1 -genkey -noout -out "$pki/accounts.key"
}
