// @aws-sdk/client-s3 with its defaults: framed bodies, and checksums in trailers.

import { createReadStream, createWriteStream } from "node:fs";
import { pipeline } from "node:stream/promises";
import {
  DeleteObjectCommand,
  GetObjectCommand,
  PutObjectCommand,
  S3Client,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";
import { bucket, endpoint, main, region } from "./common.mjs";

const client = new S3Client({
  endpoint: endpoint.href,
  region,
  forcePathStyle: true, // the server's address has no name that a bucket could precede
});

await main({
  async put(path, key) {
    const Body = createReadStream(path);
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: key, Body }));
  },
  // In parts of 5 MiB, four at a time.
  async upload(path, key) {
    const Body = createReadStream(path);
    const params = { Bucket: bucket, Key: key, Body };
    await new Upload({ client, params }).done();
  },
  async keys(prefix) {
    const asked = { Bucket: bucket, Prefix: prefix };
    const found = [];
    for await (const page of paginateListObjectsV2({ client }, asked)) {
      found.push(...(page.Contents ?? []).map((each) => each.Key));
    }
    return found;
  },
  async get(key, path) {
    const command = new GetObjectCommand({ Bucket: bucket, Key: key });
    const { Body } = await client.send(command);
    await pipeline(Body, createWriteStream(path));
  },
  async delete(key) {
    await client.send(new DeleteObjectCommand({ Bucket: bucket, Key: key }));
  },
  // A URL to put to, and one to get from.
  async presign(key) {
    const what = { Bucket: bucket, Key: key };
    return [
      await getSignedUrl(client, new PutObjectCommand(what)),
      await getSignedUrl(client, new GetObjectCommand(what)),
    ];
  },
});
