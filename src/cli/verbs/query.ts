import { resolve } from "node:path";
import { usageError } from "../argv/usage.ts";
import { type Call, defineCommand, defineGroup } from "../command.ts";
import { containerArgument, containerdFlags, rootFlag } from "../container_flags.ts";
import type { Named } from "../containers.ts";
import { present } from "../context.ts";
import { pidArgument } from "../flags.ts";

const detailFlags = {
  tree: { type: "boolean", alias: "t", description: "and all their descendants" },
  inspect: { type: "boolean", alias: "i", description: "with open files and mappings" },
} as const;

const queryProcess = defineCommand({
  meta: {
    name: "process",
    description: "Describe running processes",
    examples: ["cedana query process 4242 --tree", "cedana query process 4242 --inspect --format json"],
  },
  args: {
    pids: { ...pidArgument, required: true, repeatable: true, description: "processes to describe" },
    ...detailFlags,
  },
  async run(call) {
    const { pids, tree, inspect } = call.args;
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { pidTarget } = await import("../requests.ts");
      const { renderProcesses } = await import("../render/processes.ts");
      const { renderJson } = await import("../render/json.ts");
      const { processes } = await daemon.query({ targets: pids.map(pidTarget), tree, inspect });
      present(call, {
        json: () => renderJson(processes),
        table: () => renderProcesses(processes, { tree: tree === true, inspect: inspect === true }),
        quiet: () => processes.map(({ pid }) => `${pid}\n`).join(""),
      });
    });
    return 0;
  },
});

const queryRunc = defineCommand({
  meta: {
    name: "runc",
    description: "Describe runc containers, whoever started them",
    examples: [
      "cedana query runc",
      "cedana query runc web --tree",
      "cedana query runc --root /run/docker/runtime-runc/moby --format json",
    ],
  },
  args: {
    containers: {
      ...containerArgument,
      repeatable: true,
      description: "containers to describe (default: all of the root)",
    },
    ...rootFlag,
    tree: { ...detailFlags.tree, description: "with their processes" },
    inspect: { ...detailFlags.inspect, description: "with open files and mappings of their processes" },
  },
  async run(call) {
    const { containers: ids, root } = call.args;
    return queryContainers(call, ids, { type: "runc", root });
  },
});

const queryContainerd = defineCommand({
  meta: {
    name: "containerd",
    description: "Describe containers of containerd's, whoever made them",
    examples: [
      "cedana query containerd",
      "cedana query containerd web --tree",
      "cedana query containerd --namespace k8s.io --format json",
    ],
  },
  args: {
    containers: {
      ...containerArgument,
      repeatable: true,
      description: "containers to describe (default: all of the namespace)",
    },
    ...containerdFlags,
    tree: { ...detailFlags.tree, description: "with their processes" },
    inspect: { ...detailFlags.inspect, description: "with open files and mappings of their processes" },
  },
  async run(call) {
    const { containers: ids, namespace, address } = call.args;
    return queryContainers(call, ids, { type: "containerd", namespace, address });
  },
});

async function queryContainers(
  call: Call & { args: { tree?: boolean; inspect?: boolean } },
  ids: string[],
  place: Named & { type: string },
): Promise<number> {
  const { tree = false, inspect = false } = call.args;
  const { checkId, containerTarget } = await import("../containers.ts");
  for (const id of ids) checkId(id, "ID", call.path);
  const targets = (ids.length === 0 ? [""] : ids).map((id) => containerTarget({ ...place, id }));
  const { withDaemon } = await import("../session.ts");
  await withDaemon(call, async (daemon) => {
    const { renderContainers } = await import("../render/containers.ts");
    const { renderJson } = await import("../render/json.ts");
    const response = await daemon.query({ type: place.type, targets, tree, inspect });
    for (const warning of response.warnings) call.io.err(`warning: ${warning}\n`);
    present(call, {
      json: () => renderJson(response),
      table: () => renderContainers(response, { tree, inspect }),
      quiet: () => response.containers.map(({ container }) => `${container?.id ?? ""}\n`).join(""),
    });
  });
  return 0;
}

const queryK8s = defineCommand({
  meta: {
    name: "k8s",
    description: "Describe the pods of this host and their containers",
    examples: [
      "cedana query k8s",
      "cedana query k8s web-7d4b9 --namespace shop",
      "cedana query k8s --label app=web --format json",
    ],
    notes: "A container of a pod is dumped by its id: cedana dump containerd ID --namespace k8s.io.",
  },
  args: {
    pods: {
      type: "positional",
      repeatable: true,
      valueHint: "POD",
      description: "pods by name (default: all)",
    },
    namespace: {
      type: "string",
      valueHint: "NAME",
      description: "Kubernetes' namespace (default: every one)",
    },
    label: {
      type: "string",
      alias: "l",
      repeatable: true,
      valueHint: "KEY=VALUE",
      description: "only pods with this label",
    },
    address: {
      type: "string",
      valueHint: "FILE",
      candidates: "file",
      description: "the container runtime's socket (default: the first of the usual ones that is there)",
    },
    tree: { ...detailFlags.tree, description: "with the containers' processes" },
    inspect: { ...detailFlags.inspect, description: "with open files and mappings of their processes" },
  },
  async run(call) {
    const { pods: names, namespace, label, address, tree = false, inspect = false } = call.args;
    const labels = Object.fromEntries(label.map((text) => labelIn(text, call.path)));
    const socket = address && resolve(address.replace(/^unix:\/\//, ""));
    const { withDaemon } = await import("../session.ts");
    await withDaemon(call, async (daemon) => {
      const { renderPods } = await import("../render/pods.ts");
      const { renderJson } = await import("../render/json.ts");
      const pods = { names, namespace, labels, address: socket };
      const response = await daemon.query({ type: "k8s", tree, inspect, pods });
      present(call, {
        json: () => renderJson(response),
        table: () => renderPods(response, { tree, inspect }),
        quiet: () => response.pods.flatMap((pod) => pod.containers.map(({ id }) => `${id}\n`)).join(""),
      });
    });
    return 0;
  },
});

function labelIn(text: string, path: readonly string[]): [string, string] {
  const [, key, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (key === undefined || value === undefined)
    throw usageError(`--label must be KEY=VALUE, got "${text}"`, path);
  return [key, value];
}

export const queryGroup = defineGroup({ name: "query", description: "Describe what runs" }, [
  queryProcess,
  queryRunc,
  queryContainerd,
  queryK8s,
]);
