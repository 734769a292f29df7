// What the programs here have in common; see ../python/common.py.

const environment = process.env;

export const endpoint = new URL(environment.S3_ENDPOINT);
export const bucket = environment.S3_BUCKET;
export const keyId = environment.AWS_ACCESS_KEY_ID;
export const secret = environment.AWS_SECRET_ACCESS_KEY;
export const region = environment.AWS_DEFAULT_REGION;

// Do what the command line says, and print what comes of it, one a line.
export async function main(verbs) {
  const [verb, ...rest] = process.argv.slice(2);
  const lines = (await verbs[verb](...rest)) ?? [];
  process.stdout.write(lines.map((line) => `${line}\n`).join(""));
}
