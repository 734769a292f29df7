// minio-js as it is made without a setting; it finds the region out by itself.

import { Client } from "minio";
import { bucket, endpoint, keyId, main, secret } from "./common.mjs";

const client = new Client({
  endPoint: endpoint.hostname,
  port: Number(endpoint.port),
  useSSL: endpoint.protocol === "https:",
  accessKey: keyId,
  secretKey: secret,
});

await main({
  // In parts of 64 MiB, if it is larger.
  async put(path, key) {
    await client.fPutObject(bucket, key, path);
  },
  async keys(prefix) {
    const found = [];
    for await (const each of client.listObjectsV2(bucket, prefix, true)) {
      found.push(each.name);
    }
    return found;
  },
  async get(key, path) {
    await client.fGetObject(bucket, key, path);
  },
  async delete(key) {
    await client.removeObject(bucket, key);
  },
  // A URL to put to, and one to get from.
  async presign(key) {
    return [
      await client.presignedPutObject(bucket, key),
      await client.presignedGetObject(bucket, key),
    ];
  },
});
