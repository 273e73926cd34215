/**
 * Docker's containers, out of the files that its daemon keeps (config.v2.json, since Docker 1.10): they are there when
 * the daemon is not. Only root can read them.
 */
import { join } from "node:path";
import { CedanaError, messageOf } from "../errors.ts";
import { Fields } from "../system/fields.ts";
import { listDir } from "../system/proc.ts";
import { readJsonFile, unless } from "../system/small_file.ts";
import { isContainerId } from "./id.ts";

const fileLimit = 4 << 20;

export interface DockerPlaces {
  /** Docker's --data-root. */
  dataRoot: string;
  /** runc's --root for Docker's containers. */
  runcRoot: string;
}

export interface DockerContainer {
  id: string;
  /** Without the slash that Docker puts before it. */
  name: string;
  /** As it was given to `docker run`: "nginx:1.27". */
  image: string;
  /** "sha256:…" */
  imageId: string;
  running: boolean;
  paused: boolean;
  /** Of its init; 0 when it does not run. */
  pid: number;
  /** "" when its log goes elsewhere. */
  logPath: string;
}

/** Where Docker keeps what, by its own configuration. Throws PATH_NOT_USABLE when that cannot be read. */
export function dockerPlaces(config = "/etc/docker/daemon.json"): DockerPlaces {
  const value = unless(["PATH_NOT_FOUND"], () => readJsonFile(config, fileLimit)) ?? {};
  const fields = new Fields(value, "the top level", (what) => unusable(config, what));
  const path = (name: string, fallback: string) =>
    fields.optional(name, fallback, () => fields.string(name) || fallback);
  return {
    dataRoot: path("data-root", "/var/lib/docker"),
    runcRoot: join(path("exec-root", "/run/docker"), "runtime-runc/moby"),
  };
}

function unusable(path: string, what: string): CedanaError {
  return new CedanaError({ reason: "PATH_NOT_USABLE", message: `${path}: ${what}` });
}

export interface DockerListing {
  containers: DockerContainer[];
  broken: { id: string; why: string }[];
}

/** Empty where there is no Docker, or its folder is closed to us. */
export function listDockerContainers({ dataRoot }: DockerPlaces): DockerListing {
  const listing: DockerListing = { containers: [], broken: [] };
  for (const id of listDir(join(dataRoot, "containers")).filter(isContainerId).sort()) {
    try {
      const container = readDockerContainer({ dataRoot }, id);
      if (container !== undefined) listing.containers.push(container);
    } catch (error) {
      listing.broken.push({ id, why: messageOf(error) });
    }
  }
  return listing;
}

/** The container of exactly that id; undefined when there is none. */
export function readDockerContainer(
  { dataRoot }: Pick<DockerPlaces, "dataRoot">,
  id: string,
): DockerContainer | undefined {
  const path = join(dataRoot, "containers", id, "config.v2.json");
  const value = unless(["PATH_NOT_FOUND"], () => readJsonFile(path, fileLimit));
  if (value === undefined) return undefined;
  const container = parseDockerContainer(value, path);
  if (container.id !== id) throw unusable(path, `ID is ${JSON.stringify(container.id.slice(0, 64))}`);
  return container;
}

/** `path` is for errors. */
export function parseDockerContainer(value: unknown, path: string): DockerContainer {
  const fail = (what: string) => unusable(path, what);
  const top = new Fields(value, "the top level", fail);
  const part = (name: string) =>
    top.optional(name, new Fields({}, name, fail), (fields) => fields.object(name));
  const text = (fields: Fields, name: string) => fields.optional(name, "", () => fields.string(name));
  const flag = (fields: Fields, name: string) => fields.optional(name, false, () => fields.boolean(name));
  const state = part("State");
  return {
    id: top.string("ID", 255),
    name: top.string("Name").replace(/^\//, ""),
    image: text(part("Config"), "Image"),
    imageId: text(top, "Image"),
    running: flag(state, "Running"),
    paused: flag(state, "Paused"),
    pid: state.optional("Pid", 0, () => state.count("Pid", 1 << 22)),
    logPath: text(top, "LogPath"),
  };
}

/**
 * The container that Docker means by `name`: one of that id, else of that name, else the one whose id begins so.
 * Throws CONTAINER_NOT_FOUND, also for who may not look there, and INVALID_ARGUMENT when it could be several.
 */
export function findDockerContainer(places: DockerPlaces, name: string): DockerContainer {
  const { containers } = listDockerContainers(places);
  const wanted = name.replace(/^\//, "");
  const exact =
    containers.find(({ id }) => id === wanted) ?? containers.find((container) => container.name === wanted);
  if (exact !== undefined) return exact;
  const candidates = wanted === "" ? [] : containers.filter(({ id }) => id.startsWith(wanted));
  const [first, ...others] = candidates;
  if (first !== undefined && others.length === 0) return first;
  const shown = JSON.stringify(name.slice(0, 255));
  if (first !== undefined) {
    const names = candidates.slice(0, 5).map(({ id, name }) => `${id.slice(0, 12)} (${name})`);
    const message = `${shown} could be each of these containers of Docker: ${names.join(", ")}`;
    throw new CedanaError({ reason: "INVALID_ARGUMENT", message, hint: "name more of the id" });
  }
  const hint =
    process.geteuid?.() === 0 ? "docker ps -a shows those there are" : "only root sees them: use sudo";
  const message = `Docker has no container ${shown} in ${places.dataRoot}`;
  throw new CedanaError({ reason: "CONTAINER_NOT_FOUND", message, hint });
}
