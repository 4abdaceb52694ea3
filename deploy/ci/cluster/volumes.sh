#!/bin/bash
# Claims become folders of the node, as volumes of the kind `local`: of those the kubelet gives the group that
# a pod names the folder to write to. (The controller manager has a provisioner made for tests, whose folders
# only root may enter.) How large a folder grows, nobody limits.
set -euo pipefail
. "$(dirname "$0")/paths.sh"
. "$(dirname "$0")/watch.sh"
provisioner=consensus-lab/folder
folders=/var/lib/volumes

# Makes a folder, and the volume that it is, for each claim that has none.
provide() {
    kubectl get persistentvolumeclaims --all-namespaces -o json | jq -c --arg provisioner "$provisioner" \
        --arg folders "$folders" --arg node "$node_name" '
        .items[]
        | select(.metadata.annotations["volume.beta.kubernetes.io/storage-provisioner"] == $provisioner)
        | select(.spec.volumeName == null)
        | "pvc-\(.metadata.uid)" as $name
        | {apiVersion: "v1", kind: "PersistentVolume",
           metadata: {$name, annotations: {"pv.kubernetes.io/provisioned-by": $provisioner}},
           spec: {
             storageClassName: .spec.storageClassName,
             accessModes: .spec.accessModes,
             capacity: .spec.resources.requests,
             persistentVolumeReclaimPolicy: "Delete",
             claimRef: (.metadata | {apiVersion: "v1", kind: "PersistentVolumeClaim", name, namespace, uid}),
             local: {path: "\($folders)/\($name)"},
             nodeAffinity: {required: {nodeSelectorTerms: [{matchExpressions: [
               {key: "kubernetes.io/hostname", operator: "In", values: [$node]}]}]}}}}' \
        | while read -r volume; do
            mkdir -p "$(jq -r .spec.local.path <<<"$volume")"
            # It may be there already: a claim is bound a moment after its volume was made.
            kubectl apply -f - <<<"$volume" >/dev/null
        done
}

# Removes each volume whose claim is gone, and its folder.
reclaim() {
    kubectl get persistentvolumes -o json | jq -r --arg provisioner "$provisioner" '
        .items[]
        | select(.metadata.annotations["pv.kubernetes.io/provisioned-by"] == $provisioner)
        | select(.status.phase == "Released")
        | .metadata.name' \
        | while read -r name; do
            kubectl delete persistentvolume "$name" >/dev/null
            rm -rf "${folders:?}/$name"
        done
}

mkdir -p "$folders"
on_change persistentvolumeclaims provide &
on_change persistentvolumes reclaim
