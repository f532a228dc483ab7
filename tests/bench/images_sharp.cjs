// Uses sharp as its documentation shows: one thread of libvips, no cache, input and output in memory.
const fs = require("fs");
const readline = require("readline");
const sharp = require("sharp");

sharp.concurrency(1);
sharp.cache(false);

async function work(operation, format, content) {
  const image = sharp(content).rotate();
  const sized =
    operation === "resize"
      ? image.resize(1600, 1600, { fit: "inside", withoutEnlargement: true })
      : image.resize(320, 320, { fit: "cover" });
  return sized.toFormat(format, { quality: format === "png" ? undefined : 80 }).toBuffer();
}

async function respond(line) {
  const request = JSON.parse(line);
  if (request.ready) return {};
  const content = fs.readFileSync(request.file);
  const cpu = process.cpuUsage();
  const wall = process.hrtime.bigint();
  const result = await work(request.operation, request.format, content);
  const used = process.cpuUsage(cpu);
  const wall_ms = Number(process.hrtime.bigint() - wall) / 1e6;
  return { cpu_ms: (used.user + used.system) / 1000, wall_ms, bytes: result.length };
}

(async () => {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    process.stdout.write(JSON.stringify(await respond(line)) + "\n");
  }
})();
