use proptest::prelude::*;

use super::*;
use crate::domain::example;

fn key() -> PermissionKey {
    example::intent().key
}

fn filter() -> PermissionFilter {
    PermissionFilter {
        account: Some(key().account),
        state: Some(PermissionState::Shared),
        ..PermissionFilter::default()
    }
}

#[test]
fn every_altered_bit_is_refused() {
    let token = encode(&filter(), &key());
    assert_eq!(decode(&filter(), &token), Some(key()));
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
    for bit in 0..bytes.len() * 8 {
        let mut altered = bytes.clone();
        altered[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            decode(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(altered)),
            None,
            "bit {bit}"
        );
    }
    for bit in 0..token.len() * 8 {
        let mut altered = token.clone().into_bytes();
        altered[bit / 8] ^= 1 << (bit % 8);
        if let Ok(altered) = String::from_utf8(altered) {
            assert_eq!(decode(&filter(), &altered), None, "{altered}");
        }
    }
    for length in 0..token.len() {
        assert_eq!(decode(&filter(), &token[..length]), None, "{length} characters");
    }
}

#[test]
fn a_token_for_other_filters_is_refused() {
    let token = encode(&filter(), &key());
    let with = |set: &dyn Fn(&mut PermissionFilter)| {
        let mut filter = filter();
        set(&mut filter);
        filter
    };
    let others = [
        PermissionFilter::default(),
        with(&|filter| filter.account = None),
        with(&|filter| filter.shared_account = filter.account.take()),
        with(&|filter| filter.account = Some(key().shared_account)),
        with(&|filter| filter.region = Some(key().region)),
        with(&|filter| filter.image = Some(key().image)),
        with(&|filter| filter.shared_account = Some(key().shared_account)),
        with(&|filter| filter.state = None),
        with(&|filter| filter.state = Some(PermissionState::NotShared)),
    ];
    for other in others {
        assert_eq!(decode(&other, &token), None, "{other:?}");
    }
}

#[test]
fn a_token_of_another_version_is_refused_even_if_its_digest_is_right() {
    let mut content = vec![VERSION + 1];
    content.extend(b"000011112222210987654321wsi-123456789/eu-central-1");
    content.extend(digest(&filter(), &content));
    assert_eq!(decode(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&content)), None);
}

proptest! {
    #[test]
    fn a_token_round_trips_the_last_position_of_a_page(
        account in "[0-9]{12}", region in "[-0-9a-z]{1,31}", image in "wsi-[0-9a-z]{9,63}", shared in "[0-9]{12}",
    ) {
        let key = PermissionKey {
            account: account.parse().unwrap(),
            region: region.parse().unwrap(),
            image: image.parse().unwrap(),
            shared_account: shared.parse().unwrap(),
        };
        prop_assert_eq!(decode(&filter(), &encode(&filter(), &key)), Some(key));
    }

    #[test]
    fn garbage_is_refused(garbage in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(decode(&filter(), &garbage), None);
        prop_assert_eq!(decode(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&bytes)), None);
        // With a valid digest, the garbage reaches the parser of the position.
        let mut sealed = vec![VERSION];
        sealed.extend(bytes);
        sealed.extend(digest(&filter(), &sealed));
        decode(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&sealed));
    }
}
