// S3rver on a port of its own. It cannot abort uploads: whoever asks for that is put on record.
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const S3rver = require('s3rver');

const [, , directory, bucket] = process.argv;
const store = new S3rver({ directory, silent: true, configureBuckets: [{ name: bucket }] });
const answer = store.callback();

const server = http.createServer((request, response) => {
  const upload = new URL(request.url, 'http://localhost').searchParams.get('uploadId');
  if (request.method === 'DELETE' && upload) {
    fs.appendFileSync(path.join(directory, 'aborts'), `${upload}\n`);
  }
  answer(request, response);
});
store.configureBuckets().then(() => {
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
});
