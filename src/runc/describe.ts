/** A container in a few words, for `query`. */
import { readLink } from "../system/proc.ts";
import { unless } from "../system/small_file.ts";
import type { RuncContainer } from "./containers.ts";
import { type DockerPlaces, readDockerContainer } from "./docker.ts";
import { procName } from "./namespaces.ts";
import { type Owner, ownerOf } from "./owner.ts";
import { realPath } from "./roots.ts";
import type { ContainerStatus } from "./status.ts";

export interface ContainerInfo {
  id: string;
  /** runc's --root. */
  root: string;
  /** 0 once it has stopped. */
  pid: number;
  status: ContainerStatus;
  bundle: string;
  rootfs: string;
  /** As Docker was given it; "" for a container of somebody else's. */
  image: string;
  /** Those the container does not share with its host: "pid:[4026532449]", or what it joined once it has stopped. */
  namespaces: { type: string; name: string }[];
  /** Folder of each controller; "" is cgroup2. */
  cgroups: { controller: string; path: string }[];
  /** Of a container that is alive. */
  owner?: Owner;
  /** Unix time in ms. */
  createdAt: number;
}

export function describeContainer(container: RuncContainer, docker: DockerPlaces): ContainerInfo {
  const { id, root, pid, status, bundle, rootfs, createdAt } = container;
  return {
    ...{ id, root, pid, status, bundle, rootfs, createdAt },
    image: imageOf(container, docker),
    namespaces: container.namespaces.map(({ type, path }) => ({
      type,
      name: (pid === 0 ? undefined : readLink(`/proc/${pid}/ns/${procName(type)}`)) ?? path,
    })),
    cgroups: [...container.cgroupPaths].map(([controller, path]) => ({ controller, path })),
    owner: pid === 0 ? undefined : ownerOf(pid),
  };
}

/** Docker's files are root's, and may be gone already: without them the image is only not told. */
function imageOf({ root, id }: RuncContainer, docker: DockerPlaces): string {
  const own = realPath(root);
  if (own === undefined || own !== realPath(docker.runcRoot)) return "";
  const container = unless(["PERMISSION_DENIED", "PATH_NOT_USABLE"], () => readDockerContainer(docker, id));
  return container?.image ?? "";
}
