-- expect: admission

ALTER TABLE change ADD COLUMN origin text;
