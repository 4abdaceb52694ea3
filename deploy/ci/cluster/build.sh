# Builds Kubernetes from Debian's source package, once, and fetches what else a node takes.

# The parts of Kubernetes that a cluster of one node runs.
components="kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy"

# Packages that are unpacked into the cache and not installed: their services would start on this
# machine, and kubectl may be here from elsewhere.
unpacked="etcd-server kubernetes-client containernetworking-plugins"

# Packages that are installed if their executables are missing.
installed="go:golang-go gcc:gcc containerd:containerd runc:runc iptables:iptables dnsmasq:dnsmasq-base
    dpkg-source:dpkg-dev openssl:openssl jq:jq nft:nftables nsenter:util-linux ip:iproute2"

install_packages() {
    local pair missing=""
    for pair in $installed; do
        command -v "${pair%%:*}" >/dev/null || missing="$missing ${pair##*:}"
    done
    [ -z "$missing" ] && return
    say "installing$missing"
    # shellcheck disable=SC2086
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# apt, with the source packages of this release among its lists, kept apart from the machine's own.
apt_here() {
    local release keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    release=$(. /etc/os-release && echo "$VERSION_CODENAME")
    mkdir -p "$cache/apt/parts" "$cache/apt/lists/partial"
    cat >"$cache/apt/parts/debian.sources" <<-SOURCES
	Types: deb deb-src
	URIs: http://deb.debian.org/debian
	Suites: $release
	Components: main
	Signed-By: $keyring

	Types: deb deb-src
	URIs: http://deb.debian.org/debian-security
	Suites: $release-security
	Components: main
	Signed-By: $keyring
	SOURCES
    apt-get -qq -o Dir::Etc::SourceList=/dev/null -o Dir::Etc::SourceParts="$cache/apt/parts" \
        -o Dir::State::Lists="$cache/apt/lists" -o APT::Sandbox::User=root "$@"
}

unpack_packages() {
    local package
    mkdir -p "$cache/packages"
    for package in $unpacked; do
        (cd "$cache/packages" && apt_here download "$package")
        dpkg -x "$cache/packages/$package"_*.deb "$cache/root"
    done
    rm -r "$cache/packages"
}

# Runs a command in the source's tree, as Go takes it: gently, and not for longer than this script lives.
in_source() {
    setpriv --pdeathsig KILL nice -n 19 env --chdir="$source" GOPATH="$cache/go" GOCACHE="$cache/go/cache" \
        GOTMPDIR="$cache/go/tmp" GOGC=1000 GO111MODULE=off CGO_ENABLED=0 "$@"
}

# The API server publishes its schema, which it needs for server-side apply. That schema is generated,
# and not part of the source; everything else that is generated is.
generate_schema() {
    local inputs
    inputs=$(cd "$source" && grep -rl --include='*.go' '+k8s:openapi-gen=' pkg cmd staging/src/k8s.io \
        | grep -Ev 'code-generator|sample-apiserver|/testdata/|_test\.go$' \
        | xargs -n1 dirname | LC_ALL=C sort -u \
        | sed -e 's#^staging/src/#k8s.io/kubernetes/vendor/#' -e 't' -e 's#^#k8s.io/kubernetes/#' \
        | paste -sd,)
    in_source go build -o "$cache/openapi-gen" ./vendor/k8s.io/kube-openapi/cmd/openapi-gen
    in_source "$cache/openapi-gen" --logtostderr -i "$inputs" -p k8s.io/kubernetes/pkg/generated/openapi \
        -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
        -r "$cache/violations" >/dev/null
    rm "$cache/openapi-gen" "$cache/violations"
}

fetch_source() {
    apt_here update
    unpack_packages
    rm -rf "$cache/go/src/k8s.io"
    mkdir -p "$cache/go/src/k8s.io"
    (cd "$cache/go/src/k8s.io" && apt_here source kubernetes >/dev/null && rm -- *.dsc *.tar.*)
    mv "$cache/go/src/k8s.io"/kubernetes-* "$source"
}

# The version is said by two packages.
version_flags() {
    local package
    for package in component-base/version client-go/pkg/version; do
        package=k8s.io/kubernetes/vendor/k8s.io/$package
        echo "-X $package.gitVersion=v$1" "-X $package.gitMajor=$(echo "$1" | cut -d. -f1)" \
            "-X $package.gitMinor=$(echo "$1" | cut -d. -f2)"
    done
}

build() {
    [ -f "$cache/VERSION" ] && return
    say "building, once, into $cache: 10 to 40 minutes"
    local source=$cache/go/src/k8s.io/kubernetes upstream flags
    # What an interrupted build has already is kept.
    rm -rf "$cache/go/tmp"
    mkdir -p "$cache/bin" "$cache/go/tmp"
    [ -d "$source" ] || fetch_source
    [ -f "$source/pkg/generated/openapi/zz_generated.openapi.go" ] || generate_schema
    upstream=$(in_source dpkg-parsechangelog -S Version | sed -E 's/.*really//; s/-.*//')
    flags="-s -w $(version_flags "$upstream")"
    # No cloud's volumes, and no Docker: the kubelet talks to containerd.
    # shellcheck disable=SC2046
    in_source go build -tags providerless,dockerless -ldflags "$flags" -o "$cache/bin/" \
        $(printf './cmd/%s ' $components)
    in_source gcc -Os -static -DVERSION=3.2 -o "$cache/bin/pause" build/pause/linux/pause.c
    echo "$upstream" >"$cache/VERSION"
    chmod -R u+w "$cache/go"
    rm -r "$cache/go" "$cache/apt"
}
