//! Neighbors by the words they share: BM25 (Robertson and Zaragoza 2009) over an inverted index (the crate `tantivy`).

use sbp_plugin::prelude::*;
use sbp_plugin::slots::embedder::Embeddings;
use sbp_plugin::slots::retriever::{Retriever, SearchContext, neighbors_of};
use tantivy::collector::TopDocs;
use tantivy::query::MoreLikeThisQuery;
use tantivy::schema::{FAST, IndexRecordOption, STORED, Schema, TextFieldIndexing, TextOptions, Value as _};
use tantivy::{Index, IndexReader, ReloadPolicy, TantivyDocument};

/// Documents that share rare words, by BM25: a control for what embeddings add.
///
/// A document is asked for by its most telling words. The k of highest BM25 score are the neighbors; they are listed
/// by the similarity of their embeddings, as everywhere.
///
/// Cost: an index on disk of about half the text; a query looks at the documents that have any of its `query_words`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LexicalConfig {
    /// How many words of a document it is asked for by: those of highest frequency in it times rarity elsewhere.
    #[schemars(range(min = 1, max = 1000))]
    pub query_words: usize,
}

impl Default for LexicalConfig {
    fn default() -> Self {
        Self { query_words: 25 }
    }
}

impl Plugin<slots::Retriever> for LexicalConfig {
    const KIND: &'static str = "lexical";
    fn example() -> Self {
        Self::default()
    }
    fn build(&self, _: &BuildContext) -> Result<Box<dyn Retriever>> {
        Ok(Box::new(LexicalRetriever { query_words: self.query_words, reader: None }))
    }
}
register!(slots::Retriever => LexicalConfig);

struct LexicalRetriever {
    query_words: usize,
    reader: Option<IndexReader>,
}

/// Memory of the index writer, in bytes; what exceeds it goes to disk as a segment.
const WRITER_MEMORY: usize = 256 << 20;

impl Retriever for LexicalRetriever {
    fn prepare(&mut self, _: &Embeddings, context: &mut SearchContext<'_>) -> Result<()> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let text = schema.add_text_field("text", TextOptions::default().set_indexing_options(indexing));
        let row = schema.add_u64_field("row", FAST | STORED);
        let index = Index::create_in_dir(context.scratch, schema.build())?;
        // One thread, so that documents always come into the same segments.
        let mut writer = index.writer_with_num_threads(1, WRITER_MEMORY)?;
        for (number, document) in context.documents.iter().enumerate() {
            let mut entry = TantivyDocument::default();
            entry.add_text(text, &document.text);
            entry.add_u64(row, number as u64);
            writer.add_document(entry)?;
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        self.reader = Some(index.reader_builder().reload_policy(ReloadPolicy::Manual).try_into()?);
        Ok(())
    }

    fn neighbors(
        &mut self,
        embeddings: &Embeddings,
        queries: &[u32],
        k: usize,
        context: &mut SearchContext<'_>,
    ) -> Result<Vec<Vec<Neighbor>>> {
        if k == 0 {
            return Ok(vec![Vec::new(); queries.len()]);
        }
        let searcher = self.reader.as_ref().ok_or("searched before it was prepared")?.searcher();
        let text = searcher.schema().get_field("text")?;
        let row = searcher.schema().get_field("row")?;
        let mut found = Vec::with_capacity(queries.len());
        for &query in queries {
            let words = MoreLikeThisQuery::builder()
                .with_min_doc_frequency(1)
                .with_min_term_frequency(1)
                .with_max_query_terms(self.query_words)
                .with_document_fields(vec![(
                    text,
                    vec![context.documents[query as usize].text.clone().into()],
                )]);
            let mut rows = Vec::with_capacity(k + 1);
            // One more, since the query finds itself.
            for (_, address) in searcher.search(&words, &TopDocs::with_limit(k + 1).order_by_score())? {
                let entry: TantivyDocument = searcher.doc(address)?;
                let other = entry.get_first(row).and_then(|value| value.as_u64()).ok_or("a row is lost")?;
                rows.push(other as u32);
            }
            found.push(neighbors_of(embeddings, query, rows, k));
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use sbp_core::RootSeed;
    use sbp_testkit::NaiveTopK;

    use super::*;

    #[test]
    fn rare_words_in_common_make_neighbors() {
        let texts = [
            "the cat sat on the mat with the old fiddle",
            "the dog ran over the road to the old mill",
            "a fiddle and a cat are in the song of the mat",
            "the mill by the road grinds the corn of the dog",
        ];
        let documents: Vec<Document> =
            texts.iter().enumerate().map(|(n, text)| Document::new(&n.to_string(), *text)).collect();
        let embeddings = Embeddings::normalised(2, vec![1.0, 0.0, 0.0, 1.0, 1.0, 0.1, 0.1, 1.0]);
        let scratch = tempfile::tempdir().unwrap();
        let mut context = SearchContext {
            top_k: &mut NaiveTopK,
            documents: &documents,
            scratch: scratch.path(),
            rng: RootSeed(0).stream("retrieve", &[]),
        };
        let mut retriever = LexicalConfig::default().build(&BuildContext::default()).unwrap();
        retriever.prepare(&embeddings, &mut context).unwrap();
        let found = retriever.neighbors(&embeddings, &[0, 1, 2, 3], 1, &mut context).unwrap();
        let rows: Vec<u32> = found.iter().map(|hits| hits[0].row).collect();
        assert_eq!(rows, [2, 3, 0, 1]);
        assert!((found[0][0].similarity - embeddings.similarity(0, 2)).abs() < 1e-6);
    }
}
