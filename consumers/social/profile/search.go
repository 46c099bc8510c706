package profile

import (
	"github.com/banyan-fig/banyan/consumers/search"
	"github.com/banyan-fig/banyan/consumers/social/readmodel"
)

// SearchFields makes the table searchable: users by their name, ranked by followers, without
// those who left. As flags of banyan-search:
//
//	--table banyan-profile --prefix user# --sort profile --text name --rank followers --gone left --show name,followers
func SearchFields() search.Fields {
	return search.Fields{
		Prefix: readmodel.PrefixUser, Sort: "profile", Texts: []string{attrName}, Rank: attrFollowers,
		Version: attrRevision, Gone: attrLeft, Show: []string{attrName, attrFollowers},
	}
}
