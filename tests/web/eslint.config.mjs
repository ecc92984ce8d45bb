// ESLint for nodes/web and its tests; dev.py lint copies this beside the packages that package-lock.json names.
import js from "@eslint/js";
import globals from "globals";

export default [
  js.configs.recommended,
  {
    files: ["nodes/web/**/*.js"],
    languageOptions: { sourceType: "module", globals: globals.browser },
  },
  {
    files: ["nodes/web/lib/**/*.js"], // what tests/web tests in Node.js: neither the page nor ComfyUI's app
    languageOptions: { globals: Object.fromEntries(Object.keys(globals.browser).map((name) => [name, "off"])) },
    rules: { "no-restricted-imports": ["error", { patterns: [{ regex: "/scripts/" }] }] },
  },
  {
    files: ["tests/web/**/*.mjs"],
    languageOptions: { sourceType: "module", globals: globals.node },
  },
  { rules: { eqeqeq: "error", "prefer-const": "error", "no-var": "error", "no-shadow": "error" } },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
];
