// node --test: nodes/web/lib/results.js
import assert from "node:assert/strict";
import test from "node:test";

const { afterResult, grown, placesOfPreviews, reportOf } = await import(
  new URL("../../nodes/web/lib/results.js", import.meta.url));

test("a result is handed on after what was there before", () => {
  const seen = [];
  class Node {
    onExecuted(output) {
      seen.push(["before", this, output]);
    }
  }
  afterResult(Node, (node, output) => seen.push(["after", node, output]));
  const node = new Node();
  node.onExecuted("pictures");
  assert.deepEqual(seen, [["before", node, "pictures"], ["after", node, "pictures"]]);
});

test("a result is handed on where nothing was there before", () => {
  class Node {}
  let seen = null;
  afterResult(Node, (_, output) => (seen = output));
  new Node().onExecuted("pictures");
  assert.equal(seen, "pictures");
});

test("a report is the text of a result, line by line", () => {
  assert.equal(reportOf({ text: ["one", "two"] }), "one\ntwo");
  assert.equal(reportOf({ text: [""] }), ""); // takes away an earlier one
  for (const output of [undefined, null, {}, { images: [] }]) assert.equal(reportOf(output), undefined);
});

test("previews are found on the node and on the subgraph nodes around it", () => {
  const previews = { 7: ["blob:a"], "3:7": ["blob:a", "blob:b"], 8: ["blob:c"], 9: undefined };
  assert.deepEqual(placesOfPreviews(previews, "7"), ["7", "3:7"]);
  assert.deepEqual(placesOfPreviews(previews, "5"), []);
  assert.deepEqual(placesOfPreviews({}, "7"), []);
});

test("a node grows and never shrinks", () => {
  assert.deepEqual(grown([300, 100], [200, 150]), [300, 150]);
});
