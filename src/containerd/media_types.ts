/** The names of what images are made of. Docker's and OCI's are of the same form, and both are found everywhere. */
export const OCI_INDEX = "application/vnd.oci.image.index.v1+json";
export const OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const OCI_CONFIG = "application/vnd.oci.image.config.v1+json";
export const OCI_LAYER = "application/vnd.oci.image.layer.v1.tar";
export const OCI_LAYER_GZIP = "application/vnd.oci.image.layer.v1.tar+gzip";
const DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json";

export function isIndex(mediaType: string): boolean {
  return mediaType === OCI_INDEX || mediaType === DOCKER_LIST;
}

export function isManifest(mediaType: string): boolean {
  return mediaType === OCI_MANIFEST || mediaType === DOCKER_MANIFEST;
}

const ociNames = new Map([
  ["application/vnd.docker.image.rootfs.diff.tar", OCI_LAYER],
  ["application/vnd.docker.image.rootfs.diff.tar.gzip", OCI_LAYER_GZIP],
  ["application/vnd.docker.image.rootfs.diff.tar.zstd", "application/vnd.oci.image.layer.v1.tar+zstd"],
]);

/** A layer's type in OCI's words: a manifest of OCI's should not hold docker's. */
export function ociLayerType(mediaType: string): string {
  return ociNames.get(mediaType) ?? mediaType;
}
