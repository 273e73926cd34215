import { CedanaError } from "../../errors.ts";
import { type Call, defineCommand, defineGroup } from "../command.ts";
import { configOf, present } from "../context.ts";

/** Plugins there are. Each name of the contract that is missing here has an issue of its own. */
const known = ["criu"] as const;

const names = { type: "positional", repeatable: true, valueHint: "NAME[@VERSION]" } as const;

/** "criu@4.2.1" → name and version; throws for what is no plugin. */
function pluginOf(text: string): { version: string | undefined } {
  const [name = "", version] = text.split("@", 2);
  if (known.some((plugin) => plugin === name)) return { version };
  throw new CedanaError({
    reason: "NOT_SUPPORTED",
    message: `not supported yet: plugin ${name}`,
    hint: `plugins there are: ${known.join(", ")}`,
  });
}

export const pluginList = defineCommand({
  meta: { name: "list", alias: ["ls"], description: "List plugins", examples: ["cedana plugin list"] },
  args: { names: { ...names, description: "only these" } },
  async run(call) {
    const wanted = call.args.names.map(pluginOf);
    const { listCopies } = await import("../../criu/private.ts");
    const { formatVersion } = await import("../../criu/version.ts");
    const { renderTable } = await import("../render/table.ts");
    const { renderJson } = await import("../render/json.ts");
    const { bin_dir } = configOf(call).plugins;
    const installed = listCopies(bin_dir).map(({ version, folder }) => {
      return { name: "criu", status: "installed", version: formatVersion(version), path: folder };
    });
    const available = { name: "criu", status: "available", version: "", path: "" };
    const plugins = (installed.length > 0 ? installed : [available]).filter(
      ({ version }) =>
        wanted.length === 0 || wanted.some((one) => one.version === undefined || one.version === version),
    );
    present(call, {
      json: () => renderJson(plugins),
      table: () =>
        renderTable(
          ["PLUGIN", "STATUS", "VERSION", "PATH"],
          plugins.map(({ name, status, version, path }) => [name, status, version, path]),
        ),
      quiet: () => plugins.map(({ name }) => `${name}\n`).join(""),
    });
    return 0;
  },
});

const pluginInstall = defineCommand({
  meta: {
    name: "install",
    description: "Install plugins, without changing the host's own packages",
    examples: ["cedana plugin install criu", "cedana plugin install criu@4.2.1"],
  },
  args: { names: { ...names, required: true, description: "what to install" } },
  async run(call) {
    const wanted = call.args.names.map(pluginOf);
    const { installCriu } = await import("../../criu/install.ts");
    const { logTo } = await import("../log.ts");
    const config = configOf(call);
    const log = logTo(call.globals.quiet ? "error" : config.log_level);
    for (const { version } of wanted) {
      const installed = await installCriu({
        version,
        into: config.plugins.bin_dir,
        onProgress: (line) => log.info(line),
      });
      printInstalled(call, installed);
    }
    return 0;
  },
});

function printInstalled(call: Call, { version, path }: { version: string; path: string }): void {
  present(call, {
    json: () => `${JSON.stringify({ name: "criu", version, path })}\n`,
    table: () => `installed criu ${version}: ${path}\n`,
    quiet: () => `${path}\n`,
  });
}

const pluginRemove = defineCommand({
  meta: { name: "remove", description: "Remove plugins", examples: ["cedana plugin remove criu"] },
  args: { names: { ...names, required: true, description: "what to remove" } },
  async run(call) {
    for (const text of call.args.names) {
      if (pluginOf(text).version !== undefined) {
        throw new CedanaError({
          reason: "NOT_SUPPORTED",
          message: `${text}: a plugin is removed whole, without a version`,
        });
      }
    }
    const { removeCriu } = await import("../../criu/install.ts");
    const versions = await removeCriu(configOf(call).plugins.bin_dir);
    if (versions.length === 0) {
      throw new CedanaError({ reason: "PATH_NOT_FOUND", message: "plugin criu is not installed" });
    }
    call.io.out(versions.map((version) => `removed criu ${version}\n`).join(""));
    return 0;
  },
});

export const pluginFeatures = defineCommand({
  meta: {
    name: "features",
    description: "Show what each type can do",
    examples: ["cedana features", "cedana plugin features process --errors"],
  },
  args: {
    names: { ...names, valueHint: "TYPE", description: "only these types" },
    errors: { type: "boolean", description: "say why something cannot be done" },
  },
  async run(call) {
    const { renderFeatures, featuresOf } = await import("../features.ts");
    const { renderJson } = await import("../render/json.ts");
    const types = featuresOf(call.args.names, call.path);
    present(call, {
      json: () => renderJson(types),
      table: () => renderFeatures(types, call.args.errors === true),
      quiet: () => types.map(({ type }) => `${type}\n`).join(""),
    });
    return 0;
  },
});

export const pluginGroup = defineGroup(
  { name: "plugin", description: "Install plugins and show what they can do" },
  [pluginList, pluginInstall, pluginRemove, pluginFeatures],
);
