// Builds ../player.js, which pages contain, out of the modules here.
// Usage: node build.js NODE_MODULES [OUTPUT]   (NODE_MODULES is the folder that has esbuild, see .ci/run)
const path = require("path");
const [modules, output = path.join(__dirname, "..", "player.js")] = process.argv.slice(2);
require(path.resolve(modules, "esbuild")).buildSync({
  entryPoints: [path.join(__dirname, "main.js")],
  outfile: output,
  bundle: true,
  minify: true,
  format: "iife",
  target: "es2022",
  charset: "utf8",
  legalComments: "none",
  logLevel: "warning",
});
