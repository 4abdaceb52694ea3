# Images, for a node that can pull none.

# one_file_image NAME EXECUTABLE: an archive, as `docker save` writes it, of an image with that file alone.
one_file_image() {
    local work file
    work=$(mktemp -d)
    file=$(basename "$2")
    tar -C "$(dirname "$2")" --owner=0 --group=0 -cf "$work/layer.tar" "$file"
    cat >"$work/config.json" <<CONFIG
{"architecture": "$(dpkg --print-architecture)", "os": "linux",
 "config": {"Entrypoint": ["/$file"], "User": "65535:65535"},
 "rootfs": {"type": "layers", "diff_ids": ["sha256:$(sha256sum <"$work/layer.tar" | cut -d' ' -f1)"]}}
CONFIG
    echo "[{\"Config\": \"config.json\", \"RepoTags\": [\"$1\"], \"Layers\": [\"layer.tar\"]}]" >"$work/manifest.json"
    tar -C "$work" -c manifest.json config.json layer.tar
    rm -r "$work"
}

# Takes an image archive from the standard input into the node.
import_image() {
    on_node ctr --namespace k8s.io images import - >/dev/null
}
