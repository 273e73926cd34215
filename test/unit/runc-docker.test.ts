import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dockerPlaces, findDockerContainer, listDockerContainers } from "../../src/runc/docker.ts";
import { failure } from "./failure.ts";

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "cedana-docker-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const places = () => ({ dataRoot: folder, runcRoot: "/run/docker/runtime-runc/moby" });

function put(id: string, content: unknown): void {
  const place = join(folder, "containers", id);
  mkdirSync(place, { recursive: true });
  writeFileSync(join(place, "config.v2.json"), JSON.stringify(content));
}

/** What Docker 26 writes, as far as it is looked at. */
const container = (id: string, name: string) => ({
  StreamConfig: {},
  State: { Running: true, Paused: false, Pid: 1234, StartedAt: "2026-11-25T01:53:20Z" },
  ID: id,
  Config: { Hostname: "h", Image: "nginx:1.27", Labels: {} },
  Image: "sha256:abc",
  LogPath: `/var/lib/docker/containers/${id}/${id}-json.log`,
  Name: `/${name}`,
});

const one = `aaaa${"1".repeat(60)}`;
const two = `aaaa${"2".repeat(60)}`;

describe("Docker's containers", () => {
  test("are found by name, with or without its slash, by id, and by the beginning of one", () => {
    put(one, container(one, "web"));
    put(two, container(two, "aaaa1"));
    const id = (name: string) => findDockerContainer(places(), name).id;
    expect(findDockerContainer(places(), "web")).toEqual({
      id: one,
      name: "web",
      image: "nginx:1.27",
      imageId: "sha256:abc",
      running: true,
      paused: false,
      pid: 1234,
      logPath: `/var/lib/docker/containers/${one}/${one}-json.log`,
    });
    expect(id("/web")).toBe(one);
    expect(id(two)).toBe(two);
    expect(id("aaaa2")).toBe(two);
    // Docker, too, takes a name before the beginning of an id.
    expect(id("aaaa1")).toBe(two);
  });

  test("that are none, or several, are errors that say so", () => {
    put(one, container(one, "web"));
    put(two, container(two, "db"));
    expect(failure(() => findDockerContainer(places(), "aaaa"))).toMatchObject({
      reason: "INVALID_ARGUMENT",
      message: '"aaaa" could be each of these containers of Docker: aaaa11111111 (web), aaaa22222222 (db)',
    });
    for (const name of ["nothing", "", "../web", "a\nb"])
      expect(failure(() => findDockerContainer(places(), name)).reason).toBe("CONTAINER_NOT_FOUND");
  });

  test("that are half made or broken do not hide the others", () => {
    put(one, container(one, "web"));
    put(two, { ...container(two, "db"), Name: 1 });
    put("other", container(two, "elsewhere"));
    mkdirSync(join(folder, "containers", "starting"));
    const { containers, broken } = listDockerContainers(places());
    expect(containers.map(({ name }) => name)).toEqual(["web"]);
    expect(broken.map(({ id }) => id)).toEqual([two, "other"]);
    expect(listDockerContainers({ ...places(), dataRoot: join(folder, "none") }).containers).toEqual([]);
  });

  test("lie where Docker's configuration says", () => {
    const config = join(folder, "daemon.json");
    const read = (text: string) => {
      writeFileSync(config, text);
      return dockerPlaces(config);
    };
    expect(dockerPlaces(config)).toEqual({
      dataRoot: "/var/lib/docker",
      runcRoot: "/run/docker/runtime-runc/moby",
    });
    expect(read('{"data-root": "/data", "exec-root": "/run/other", "debug": true}')).toEqual({
      dataRoot: "/data",
      runcRoot: "/run/other/runtime-runc/moby",
    });
    expect(read("{}").dataRoot).toBe("/var/lib/docker");
    expect(failure(() => read('{"data-root": 1}')).message).toContain(`${config}: data-root is not a string`);
    expect(failure(() => read("nonsense")).reason).toBe("PATH_NOT_USABLE");
  });
});
